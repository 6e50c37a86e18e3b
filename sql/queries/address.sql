-- Everything that an address did.
-- ip = 203.0.113.7
-- days = 90
--
-- It counts ids in place of asking v_events, which sorts what it reads: an address may be in every granule.
SELECT event_type, outcome, host, actor, uniqExact(event_id) AS events, min(event_time) AS first, max(event_time) AS last, anyLast(title) AS example
FROM events
WHERE src_ip = toIPv6({ip:String}) AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY event_type, outcome, host, actor
ORDER BY events DESC
LIMIT 500;
