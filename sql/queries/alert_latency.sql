-- How long from the arrival of an event to its alert, by rule?
-- days = 30
SELECT rule_id, count() AS alerts, quantileExact(0.5)(detect_latency_ms) AS p50_ms, quantileExact(0.95)(detect_latency_ms) AS p95_ms, max(detect_latency_ms) AS worst_ms
FROM
(
    SELECT a.rule_id AS rule_id, v.alert_id, argMin(v.detect_latency_ms, v.version) AS detect_latency_ms
    FROM alert_versions AS v INNER JOIN (SELECT alert_id, any(rule_id) AS rule_id FROM v_alerts GROUP BY alert_id) AS a USING (alert_id)
    WHERE v.ts >= now() - toIntervalDay({days:UInt16})
    GROUP BY rule_id, v.alert_id
)
GROUP BY rule_id
ORDER BY p95_ms DESC;
