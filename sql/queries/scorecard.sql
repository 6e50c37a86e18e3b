-- Which techniques did each campaign use, which of them were detected, and how soon?
-- days = 90
--
-- A campaign lasts from its first event (campaign.declared or an attack of its) to an hour after its last. A technique is
-- detected by an alert about it, raised in that time in a project that the campaign touched. An
-- alert is raised when the record comes that raises it.
SELECT c.campaign AS campaign, c.technique AS technique, c.first AS tried, countIf(has(w.projects, a.project)) > 0 AS detected,
    arraySort(groupUniqArrayIf(a.rule, has(w.projects, a.project))) AS rules,
    if(detected, dateDiff('second', c.first, minIf(a.at, has(w.projects, a.project))), NULL) AS seconds_to_detect
FROM
(
    SELECT campaign, technique, min(event_time) AS first
    FROM v_attributed
    ARRAY JOIN attack_ids AS technique
    WHERE event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY campaign, technique
) AS c
INNER JOIN
(
    SELECT campaign, min(event_time) AS begins, max(event_time) + toIntervalHour(1) AS ends, groupUniqArray(toNullable(toString(project))) AS projects
    FROM v_attributed
    WHERE event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY campaign
) AS w ON w.campaign = c.campaign
LEFT JOIN
(
    SELECT toString(rule_id) AS rule, toString(technique) AS technique, toNullable(toString(project)) AS project, v.raised AS at
    FROM (SELECT alert_id, rule_id, project, technique FROM v_alerts ARRAY JOIN attack_ids AS technique) AS n
    INNER JOIN (SELECT alert_id, argMin(ts, version) - toIntervalMillisecond(argMin(detect_latency_ms, version)) AS raised FROM alert_versions GROUP BY alert_id) AS v USING (alert_id)
) AS a ON a.technique = c.technique AND a.at BETWEEN w.begins AND w.ends
GROUP BY campaign, technique, tried
ORDER BY campaign, tried, technique;
