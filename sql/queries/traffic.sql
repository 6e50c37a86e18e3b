-- How much traffic crosses each border, by phase and hour?
-- days = 7
SELECT toStartOfHour(ts) AS hour, phase, net_scope, sum(n) AS flows, sum(bytes) AS bytes
FROM v_events_1m
WHERE event_type = 'net.flow' AND ts >= now() - toIntervalDay({days:UInt16})
GROUP BY hour, phase, net_scope
ORDER BY hour, phase, net_scope;
