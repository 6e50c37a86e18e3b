-- Which users were guessed: many failed logins, then one that succeeded from an address that had failed?
-- days = 7
SELECT actor, host, countIf(event_type = 'auth.failed') AS failed, uniqExactIf(src_ip, event_type = 'auth.failed') AS addresses,
    minIf(event_time, event_type = 'auth.success') AS guessed_at
FROM v_events
WHERE event_type IN ('auth.failed', 'auth.success') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY actor, host
HAVING failed >= 20 AND countIf(event_type = 'auth.success') > 0
    AND hasAny(groupUniqArrayIf(src_ip, event_type = 'auth.failed'), groupUniqArrayIf(src_ip, event_type = 'auth.success'))
ORDER BY failed DESC;
