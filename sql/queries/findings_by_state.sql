-- How many findings are there in each state, by severity?
SELECT state, count() AS findings, countIf(severity_id >= 5) AS critical, countIf(severity_id = 4) AS high, countIf(severity_id = 3) AS medium, min(first_seen) AS oldest
FROM v_findings
GROUP BY state
ORDER BY findings DESC;
