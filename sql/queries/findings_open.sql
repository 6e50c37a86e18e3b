-- Which findings are open, the worst and oldest first?
SELECT severity_id, state, title, if(notEmpty(vuln_ids), vuln_ids[1], rule_id) AS id, purl, repo, path, host, first_seen, due, due < now() AS overdue
FROM v_findings
WHERE open
ORDER BY severity_id DESC, first_seen
LIMIT 500;
