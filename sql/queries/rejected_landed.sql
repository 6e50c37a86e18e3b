-- Which commits of rejected changes are on a branch all the same?
-- days = 30
SELECT p.commit_sha AS commit, p.repo AS repo, p.ref AS branch, p.actor AS pushed_by, p.event_time AS pushed, p.attributes['forced'] AS forced, r.change_id AS rejected_change, r.event_time AS rejected
FROM v_events AS p
INNER JOIN (SELECT commit_sha, any(change_id) AS change_id, min(event_time) AS event_time FROM v_events WHERE disposition_id = 25 AND commit_sha != '' GROUP BY commit_sha) AS r USING (commit_sha)
WHERE p.event_type = 'branch.push' AND p.event_time > r.event_time AND p.event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY pushed;
