-- How many changes were approved, reformulated, rejected and merged, by repository?
-- days = 30
--
-- A new revision is a reformulation when a review has asked for changes before it.
SELECT e.repo AS repo, countIf(e.event_type = 'approval.closed' AND e.disposition_id = 8) AS approved,
    countIf(e.event_type = 'change.updated' AND r.rejected > toDateTime64(0, 3, 'UTC') AND e.event_time > r.rejected) AS reformulated,
    countIf(e.disposition_id = 25) AS rejected, countIf(e.event_type = 'change.merged') AS merged, countIf(e.event_type = 'change.abandoned') AS abandoned
FROM v_events AS e
LEFT JOIN (SELECT change_id, min(event_time) AS rejected FROM v_events WHERE event_type = 'approval.closed' AND disposition_id = 25 GROUP BY change_id) AS r USING (change_id)
WHERE e.phase = 'writing' AND e.repo != '' AND e.event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY repo
ORDER BY merged DESC, repo;
