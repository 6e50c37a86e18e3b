-- How long do alerts stay open, by rule and team?
-- days = 30
SELECT rule_id, toString(team) AS team, countIf(status = 'resolved') AS resolved, count() - resolved AS open,
    quantileIf(0.5)(dateDiff('second', first_event_time, ts), status = 'resolved') AS resolved_p50_s
FROM v_alerts
WHERE ts >= now() - toIntervalDay({days:UInt16})
GROUP BY rule_id, team
ORDER BY open DESC, rule_id, team;
