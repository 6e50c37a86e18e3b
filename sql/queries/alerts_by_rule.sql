-- How often does each rule fire, for whom, and how many of its alerts are over?
-- days = 30
SELECT rule_id, toString(team) AS team, toString(alert_class) AS class, count() AS alerts, countIf(status = 'resolved') AS resolved,
    countIf(status = 'suppressed') AS suppressed, max(severity_id) AS worst, max(last_event_time) AS last
FROM v_alerts
WHERE ts >= now() - toIntervalDay({days:UInt16})
GROUP BY rule_id, team, class
ORDER BY alerts DESC, rule_id, team;
