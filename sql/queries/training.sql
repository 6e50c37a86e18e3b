-- Who writes code and has not been trained, by repository?
-- days = 365
SELECT repo, uniqExact(actor) AS authors, uniqExactIf(actor, trained) AS trained_authors, arraySort(groupUniqArrayIf(actor, NOT trained)) AS untrained
FROM
(
    SELECT repo, actor, actor IN (SELECT actor FROM v_events WHERE event_type = 'training.completed' AND event_time >= now() - toIntervalDay({days:UInt16})) AS trained
    FROM v_events
    WHERE event_type = 'branch.push' AND repo != '' AND actor != '' AND event_time >= now() - toIntervalDay({days:UInt16})
)
GROUP BY repo
ORDER BY length(untrained) DESC, repo;
