-- On which repositories do secret hooks run, and which pushes have none?
-- days = 30
SELECT repo, countIf(event_type = 'branch.push') AS pushes, countIf(source IN ('git-secrets', 'git-hound-ezekg', 'git-hound-tillson', 'gitleaks', 'trufflehog')) AS hook_events,
    groupUniqArrayIf(toString(source), event_type = 'secret.detected') AS tools
FROM v_events
WHERE phase = 'writing' AND repo != '' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY repo
ORDER BY hook_events, pushes DESC;
