-- Which tests do people do, who, and when last?
-- days = 90
SELECT project, pipeline AS test, anyLast(actor) AS who, countIf(outcome = 'failure') AS failed, count() AS sessions, max(event_time) AS last
FROM v_events
WHERE event_type IN ('testsuiterun.finished', 'testcaserun.finished') AND attributes['test.trigger'] = 'manual' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY project, test
ORDER BY last, project, test;
