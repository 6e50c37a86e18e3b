-- How often is each rule right, by what people said of its alerts?
SELECT rule_id, alerts, judged, false_positives, round(precision, 2) AS right
FROM v_rule_precision
ORDER BY judged = 0, right, alerts DESC, rule_id;
