-- When did each campaign begin, when was it first seen, and what was missed?
SELECT c.campaign_id AS campaign, c.first AS first, c.events AS events, nullIf(a.first, toDateTime64(0, 3, 'UTC')) AS first_alert, dateDiff('second', c.first, first_alert) AS seconds_to_detect
FROM (SELECT campaign_id, min(event_time) AS first, count() AS events FROM v_events WHERE campaign_id != '' GROUP BY campaign_id) AS c
LEFT JOIN (SELECT campaign_id, min(first_event_time) AS first FROM v_alerts WHERE campaign_id != '' GROUP BY campaign_id) AS a USING (campaign_id)
ORDER BY first;
