-- Which alerts are open, the worst first?
SELECT severity_id, toString(team) AS team, rule_id, title, summary, first_event_time, last_event_time, event_count, runbook
FROM v_alerts
WHERE status IN ('firing', 'updated', 'acked')
ORDER BY severity_id DESC, last_event_time DESC
LIMIT 200;
