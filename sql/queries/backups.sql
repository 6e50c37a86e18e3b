-- When was the monitoring data last backed up, and did it work?
-- days = 30
SELECT event_time, outcome, title, dateDiff('hour', event_time, now()) AS hours_ago
FROM v_events
WHERE event_type = 'backup.finished' AND event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY event_time DESC
LIMIT 50;
