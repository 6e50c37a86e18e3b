-- Everything that an address did.
-- ip = 203.0.113.7
SELECT event_type, outcome, host, actor, count() AS events, min(event_time) AS first, max(event_time) AS last, anyLast(title) AS example
FROM v_events
WHERE src_ip = toIPv6({ip:String})
GROUP BY event_type, outcome, host, actor
ORDER BY events DESC
LIMIT 500;
