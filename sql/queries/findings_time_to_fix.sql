-- How long does it take to mend findings, by severity and source?
SELECT severity_id, source, count() AS fixed, quantileExact(0.5)(dateDiff('minute', first_seen, corrected_at)) AS p50_min, max(dateDiff('minute', first_seen, corrected_at)) AS worst_min
FROM v_findings
WHERE state IN ('fixed', 'verified')
GROUP BY severity_id, source
ORDER BY severity_id DESC, source;
