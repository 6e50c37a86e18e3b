-- When did each campaign begin, when was it first seen, and what was missed?
SELECT c.campaign AS campaign, c.first AS first, c.events AS events, nullIf(a.first, toDateTime64(0, 3, 'UTC')) AS first_alert, dateDiff('second', c.first, first_alert) AS seconds_to_detect
FROM (SELECT campaign, min(event_time) AS first, uniqExact(event_id) AS events FROM v_attributed GROUP BY campaign) AS c
LEFT JOIN
(
    SELECT t.campaign AS campaign, min(v.first_event_time) AS first
    FROM (SELECT first_event_time, event FROM v_alerts ARRAY JOIN event_ids AS event) AS v
    INNER JOIN v_attributed AS t ON t.event_id = v.event
    GROUP BY campaign
) AS a USING (campaign)
ORDER BY first;
