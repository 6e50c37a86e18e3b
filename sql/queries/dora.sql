-- Deployment frequency, lead time and change fail rate, by service.
-- environment = production
-- days = 30
WITH
deployed AS
(
    SELECT service, commit_sha, event_time AS at, outcome, event_type
    FROM v_events
    WHERE event_type IN ('service.deployed', 'service.upgraded', 'service.rolledback') AND environment = {environment:String} AND event_time >= now() - toIntervalDay({days:UInt16})
),
merged AS (SELECT commit_sha, min(event_time) AS at FROM v_events WHERE event_type IN ('change.merged', 'branch.push') AND commit_sha != '' GROUP BY commit_sha)
SELECT d.service AS service, count() AS deployments, round(deployments / {days:UInt16}, 2) AS a_day,
    quantileExactIf(0.5)(dateDiff('second', m.at, d.at), m.at > toDateTime64(0, 3, 'UTC')) AS lead_p50_s,
    round(countIf(d.outcome = 'failure' OR d.event_type = 'service.rolledback') / deployments, 3) AS fail_rate
FROM deployed AS d LEFT JOIN merged AS m USING (commit_sha)
GROUP BY service
ORDER BY deployments DESC;
