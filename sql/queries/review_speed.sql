-- How long from a change's opening to its approval and its merge?
-- days = 30
SELECT repo, count() AS changes, quantileExactIf(0.5)(dateDiff('second', opened, approved), approved > opened) AS to_approval_p50_s,
    quantileExactIf(0.5)(dateDiff('second', opened, merged), merged > opened) AS to_merge_p50_s, sum(rounds) AS rounds
FROM
(
    SELECT any(repo) AS repo, change_id, minIf(event_time, event_type = 'change.created') AS opened,
        minIf(event_time, event_type = 'approval.closed' AND disposition_id = 8) AS approved, minIf(event_time, event_type = 'change.merged') AS merged,
        countIf(event_type = 'approval.closed') AS rounds
    FROM v_events
    WHERE change_id != '' AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY change_id
    HAVING opened > toDateTime64(0, 3, 'UTC')
)
GROUP BY repo
ORDER BY changes DESC;
