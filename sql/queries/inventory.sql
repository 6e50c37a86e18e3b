-- Which tools, platforms and hosts are planned, which were seen, and which are one but not the other?
-- days = 90
--
-- A host is seen when anything comes from it.
SELECT name, planned, observed, last
FROM
(
    SELECT if(artifact != '', artifact, host) AS name, countIf(event_type = 'inventory.declared') > 0 AS planned, countIf(event_type != 'inventory.declared') > 0 AS observed, max(event_time) AS last
    FROM v_events
    WHERE (event_type IN ('inventory.declared', 'inventory.observed') OR (host != '' AND artifact = '')) AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY name
)
ORDER BY planned = observed, name;
