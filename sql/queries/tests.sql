-- Which suites ran, how many cases failed at last, were skipped or are flaky?
-- days = 7
--
-- The last run of a case on a commit counts. One that failed on it before is flaky.
SELECT suite, count() AS cases, countIf(result.1 = 'failure') AS failed, countIf(result.2 = 'testcaserun.skipped') AS skipped, countIf(shaky) AS flaky, max(at) AS last
FROM
(
    SELECT pipeline AS suite, task, argMax((outcome, event_type), (event_time, ingest_time)) AS result,
        max(has(labels, 'flaky')) OR (countIf(outcome = 'failure') > 0 AND result.1 = 'success') AS shaky, max(event_time) AS at
    FROM v_events
    WHERE event_type IN ('testcaserun.finished', 'testcaserun.skipped') AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY suite, task, if(commit_sha = '', toString(event_id), commit_sha)
)
GROUP BY suite
ORDER BY failed DESC, cases DESC;
