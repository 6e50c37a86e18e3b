-- Which tools, platforms and hosts are planned, which were seen, and which are one but not the other?
-- days = 90
--
-- A host is seen when anything comes from it; infra tells whether it is physical, virtual or a container, where somebody says so:
-- an agent, or the table of assets.
SELECT kind, name, planned, observed, infra, last
FROM
(
    SELECT if(artifact != '', artifact, host) AS name,
        multiIf(artifact = '', 'host', match(name, '^[a-z0-9]+/[a-z0-9]+(/v[0-9]+)?$'), 'platform', 'tool') AS kind,
        countIf(event_type = 'inventory.declared') > 0 AS planned, countIf(event_type != 'inventory.declared') > 0 AS observed,
        argMaxIf(attributes['infra_kind'], event_time, attributes['infra_kind'] != '') AS infra, max(event_time) AS last
    FROM v_events
    WHERE (event_type IN ('inventory.declared', 'inventory.observed') OR (host != '' AND artifact = '')) AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY name, kind
)
ORDER BY planned = observed, kind, name;
