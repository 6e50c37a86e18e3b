-- Which ATT&CK techniques were seen, and which of them alerted?
-- days = 30
SELECT technique, sum(e) AS events, sum(a) AS alerts
FROM
(
    SELECT arrayJoin(attack_ids) AS technique, count() AS e, 0 AS a FROM v_events WHERE event_time >= now() - toIntervalDay({days:UInt16}) GROUP BY technique
    UNION ALL
    SELECT arrayJoin(attack_ids) AS technique, 0 AS e, count() AS a FROM v_alerts WHERE ts >= now() - toIntervalDay({days:UInt16}) GROUP BY technique
)
GROUP BY technique
ORDER BY alerts DESC, events DESC, technique;
