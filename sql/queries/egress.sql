-- Which hosts talk to whom outside, how much, and who asked for a name first?
-- days = 7
SELECT host, dst_domain, replaceOne(toString(dst_ip), '::ffff:', '') AS address, sum(bytes) AS bytes, count() AS flows, min(event_time) AS first
FROM v_events
WHERE event_type IN ('net.flow', 'dns.query', 'tls.handshake') AND net_scope IN ('egress', 'external', 'none') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY host, dst_domain, address
ORDER BY bytes DESC, host, dst_domain
LIMIT 200;
