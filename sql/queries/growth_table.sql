-- Size and increments of a table, minute by minute.
-- table = public.audit_log
-- days = 1
SELECT toStartOfMinute(ts) AS minute, max(size_bytes) AS bytes, sum(delta_bytes) AS added, toString(max(state)) AS state, max(attack_events) AS attack_events
FROM v_db_growth
WHERE db_object = {table:String} AND ts >= now() - toIntervalDay({days:UInt16})
GROUP BY minute
ORDER BY minute;
