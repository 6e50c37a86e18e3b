-- Which events are behind an alert?
-- rule = C01
SELECT event_time, phase, source, event_type, severity_id, actor, host, src_ip, title
FROM v_events
WHERE event_id IN (SELECT arrayJoin(event_ids) FROM v_alerts WHERE rule_id = {rule:String})
ORDER BY event_time
LIMIT 500;
