-- Who takes artifacts from the registries, from which network, and who puts them there?
-- days = 7
--
-- The border tells our own addresses from others; the number, the operator and the country are known where enrich.geoip is.
SELECT toString(net_scope) AS border, attributes['source.as.number'] AS asn, any(attributes['source.as.organization.name']) AS operator,
    any(attributes['source.geo.country_iso_code']) AS country, countIf(event_type = 'artifact.downloaded') AS pulls, countIf(event_type = 'artifact.published') AS pushes,
    sum(bytes) AS bytes, uniqExactIf(src_ip, src_ip != toIPv6('::')) AS addresses, arraySort(groupUniqArray(5)(toString(actor))) AS accounts, min(event_time) AS first, max(event_time) AS last
FROM v_events
WHERE event_type IN ('artifact.downloaded', 'artifact.published') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY border, asn
ORDER BY pulls DESC, border, asn
LIMIT 200;
