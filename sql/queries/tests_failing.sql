-- Which test cases fail most?
-- days = 30
SELECT pipeline AS suite, task AS test, countIf(outcome = 'failure') AS failed, count() AS runs, maxIf(event_time, outcome = 'failure') AS last_failed
FROM v_events
WHERE event_type = 'testcaserun.finished' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY suite, test
HAVING failed > 0
ORDER BY failed DESC, suite, test
LIMIT 100;
