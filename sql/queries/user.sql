-- Everything that a user did, and from where.
-- user = svc_report
SELECT event_type, outcome, host, replaceOne(toString(src_ip), '::ffff:', '') AS address, count() AS events, min(event_time) AS first, max(event_time) AS last
FROM v_events
WHERE actor = {user:String}
GROUP BY event_type, outcome, host, address
ORDER BY last DESC
LIMIT 500;
