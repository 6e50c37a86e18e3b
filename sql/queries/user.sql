-- Everything that a user did, and from where.
-- user = svc_report
-- days = 90
--
-- It counts ids in place of asking v_events, as address does.
SELECT event_type, outcome, host, replaceOne(toString(src_ip), '::ffff:', '') AS address, uniqExact(event_id) AS events, min(event_time) AS first, max(event_time) AS last
FROM events
WHERE actor = {user:String} AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY event_type, outcome, host, address
ORDER BY last DESC
LIMIT 500;
