-- Which of security's routines ran, on which commits, and how did they end?
-- days = 30
SELECT pipeline AS routine, commit_sha, outcome, event_time
FROM v_events
WHERE has(labels, 'sec-routine') AND event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY event_time DESC
LIMIT 200;
