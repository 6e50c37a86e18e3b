-- Which repositories are written with a threat model, how complete is it, and what is left unanswered?
-- days = 90
--
-- threatmodel.updated answers in attributes threatmodel.building, .wrong, .do and .forgot, or says its completeness as a metric.
SELECT w.project AS project, w.repo AS repo, m.service AS service, m.completeness AS completeness, m.open AS open, w.commits AS commits
FROM
(
    SELECT project, repo, uniqExact(commit_sha) AS commits
    FROM v_events
    WHERE event_type = 'branch.push' AND repo != '' AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY project, repo
) AS w
LEFT JOIN
(
    SELECT repo, argMax(service, event_time) AS service,
        argMax(if(metric_name = 'completeness', metric_value, (4 - length(left_open)) / 4), event_time) AS completeness,
        argMax(if(metric_name = 'completeness', [], left_open), event_time) AS open
    FROM
    (
        SELECT repo, service, event_time, metric_name, metric_value,
            arrayFilter((text, key) -> attributes[key] = '', ['what are we building', 'what can go wrong', 'what do we do about it', 'did we forget something'],
                ['threatmodel.building', 'threatmodel.wrong', 'threatmodel.do', 'threatmodel.forgot']) AS left_open
        FROM v_events
        WHERE event_type = 'threatmodel.updated' AND repo != ''
    )
    GROUP BY repo
) AS m USING (repo)
ORDER BY completeness, commits DESC, repo;
