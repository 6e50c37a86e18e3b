-- On which repositories do secret hooks run, which have none, and what share is covered?
-- days = 30
SELECT repo, hook_events > 0 AS covered, countIf(event_type = 'branch.push') AS pushes,
    countIf(source IN ('git-secrets', 'git-hound-ezekg', 'git-hound-tillson', 'gitleaks', 'trufflehog')) AS hook_events,
    groupUniqArrayIf(toString(source), event_type = 'secret.detected') AS tools, round(100 * avg(covered) OVER ()) AS percent_of_all
FROM v_events
WHERE phase = 'writing' AND repo != '' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY repo
ORDER BY covered, pushes DESC, repo;
