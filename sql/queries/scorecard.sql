-- Which techniques did each campaign use, which of them were detected, and how soon?
-- days = 90
--
-- A campaign lasts from its first event (campaign.declared or an attack of its) to an hour after its last. A technique is
-- detected by an alert about it, raised in that time.
SELECT c.campaign AS campaign, c.technique AS technique, c.first AS tried, countIf(a.rule != '') > 0 AS detected,
    arraySort(groupUniqArrayIf(a.rule, a.rule != '')) AS rules, if(detected, dateDiff('second', c.first, minIf(a.at, a.rule != '')), NULL) AS seconds_to_detect
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
    SELECT campaign, min(event_time) AS begins, max(event_time) + toIntervalHour(1) AS ends
    FROM v_attributed
    WHERE event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY campaign
) AS w ON w.campaign = c.campaign
LEFT JOIN
(
    SELECT toString(rule_id) AS rule, toString(technique) AS technique, first_event_time AS at
    FROM v_alerts
    ARRAY JOIN attack_ids AS technique
) AS a ON a.technique = c.technique AND a.at BETWEEN w.begins AND w.ends
GROUP BY campaign, technique, tried
ORDER BY campaign, tried, technique;
