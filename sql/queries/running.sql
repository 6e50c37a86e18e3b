-- What runs now: the last deployment of each service and environment?
SELECT environment, service, argMax(artifact_digest, event_time) AS digest, argMax(commit_sha, event_time) AS commit, max(event_time) AS since
FROM v_events
WHERE event_type IN ('service.deployed', 'service.upgraded', 'service.rolledback')
GROUP BY environment, service
ORDER BY environment, service;
