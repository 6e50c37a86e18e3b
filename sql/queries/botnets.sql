-- Which hosts does a botnet try: many addresses of many networks, almost all failing?
-- days = 7
SELECT host, toStartOfInterval(event_time, INTERVAL 5 MINUTE) AS at, count() AS logins, uniqExact(src_ip) AS addresses,
    uniqExact(cutIPv6(src_ip, 10, 2)) AS networks, round(countIf(event_type = 'auth.failed') / count(), 3) AS failing
FROM v_events
WHERE event_type IN ('auth.failed', 'auth.success') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY host, at
HAVING addresses >= 50 AND failing >= 0.7
ORDER BY addresses DESC;
