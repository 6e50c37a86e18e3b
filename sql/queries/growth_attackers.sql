-- Who attacked the host of a growing database while it grew?
-- days = 1
WITH grown AS
(
    SELECT host, min(ts) - INTERVAL 10 MINUTE AS since, max(ts) AS until
    FROM v_db_growth
    WHERE state != 'ok' AND ts >= now() - toIntervalDay({days:UInt16})
    GROUP BY host
)
SELECT g.host AS host, replaceOne(toString(e.src_ip), '::ffff:', '') AS address, count() AS events, uniqExact(e.actor) AS users, min(e.event_time) AS first, max(e.event_time) AS last
FROM v_events AS e INNER JOIN grown AS g ON e.host = g.host
WHERE e.event_type IN ('auth.failed', 'attack', 'detection') AND e.event_time BETWEEN g.since AND g.until AND e.src_ip != toIPv6('::')
GROUP BY host, address
ORDER BY events DESC, address
LIMIT 50;
