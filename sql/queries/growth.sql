-- Which databases grow exponentially, since when, how fast, and when are they full?
-- days = 1
SELECT host, db_name, db_object, toString(argMax(state, ts)) AS now, toString(max(state)) AS worst,
    minIf(ts, state != 'ok') AS since, formatReadableSize(argMax(size_bytes, ts)) AS size,
    round(argMaxIf(doubling_min, ts, state != 'ok'), 2) AS doubling_min,
    round(argMaxIf(minutes_to_full, ts, state != 'ok'), 1) AS minutes_to_full, max(attack_events) AS attack_events
FROM v_db_growth
WHERE ts >= now() - toIntervalDay({days:UInt16})
GROUP BY host, db_name, db_object
HAVING max(state) != 'ok'
ORDER BY max(state) DESC, host, db_name, db_object;
