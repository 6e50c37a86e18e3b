-- Who changed opt-outs, requests and suppressions, and under which ticket?
-- days = 90
SELECT event_time, actor, attributes['ticket'] AS ticket, title
FROM v_events
WHERE event_type = 'policy.changed' AND event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY event_time DESC;
