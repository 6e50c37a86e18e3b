-- Which records were refused, why, and of which source?
-- days = 7
SELECT source, stage, reason, count() AS records, max(ts) AS last, anyLast(concat(kafka_topic, '/', toString(kafka_partition), '/', toString(kafka_offset))) AS for_example
FROM v_dead_letters
WHERE ts >= now() - toIntervalDay({days:UInt16})
GROUP BY source, stage, reason
ORDER BY records DESC
LIMIT 200;
