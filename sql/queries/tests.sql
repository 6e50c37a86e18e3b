-- Which suites ran, how many cases failed, were skipped or are flaky?
-- days = 7
SELECT pipeline AS suite, count() AS cases, countIf(outcome = 'failure') AS failed, countIf(event_type = 'testcaserun.skipped') AS skipped,
    countIf(has(labels, 'flaky')) AS flaky, max(event_time) AS last
FROM v_events
WHERE event_type IN ('testcaserun.finished', 'testcaserun.skipped') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY suite
ORDER BY failed DESC, cases DESC;
