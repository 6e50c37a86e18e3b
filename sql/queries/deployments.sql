-- What was deployed where, of which commit, and how did it end?
-- days = 30
SELECT event_time, event_type, environment, service, artifact_digest, commit_sha, actor, outcome
FROM v_events
WHERE startsWith(event_type, 'service.') AND event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY event_time DESC
LIMIT 200;
