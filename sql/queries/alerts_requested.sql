-- Which alerts did the teams get because security asked for them, and who asked?
-- days = 30
SELECT toString(team) AS team, rule_id, requested_by, count() AS alerts, max(title) AS example
FROM v_alerts
WHERE alert_class = 'sec_requested' AND ts >= now() - toIntervalDay({days:UInt16})
GROUP BY team, rule_id, requested_by
ORDER BY alerts DESC, rule_id;
