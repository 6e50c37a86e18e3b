-- Campaigns as they were declared, before, during or after: security is told of the red team last. A declaration is an event
-- campaign.declared, which row policies show to security alone (deploy/clickhouse); so what follows from it is for security
-- alone as well. Attribution is looked up, not written into events: a campaign declared today attributes last month's, a
-- declaration that is corrected lets go of what it took, and no rollup counts a row twice. Of several declarations the latest
-- holds, and without an end a campaign is over with campaign.closed, or goes on.
CREATE VIEW IF NOT EXISTS v_campaigns AS
SELECT
    campaign_id,
    argMaxIf(title, ingest_time, declaration) AS title,
    argMaxIf(actor, ingest_time, declaration) AS declared_by,
    argMaxIf(ifNull(parseDateTime64BestEffortOrNull(attributes['campaign.from'], 3, 'UTC'), event_time), ingest_time, declaration) AS begins,
    argMaxIf(parseDateTime64BestEffortOrNull(attributes['campaign.until'], 3, 'UTC'), ingest_time, declaration) AS until,
    maxIf(event_time, NOT declaration) AS closed,
    multiIf(until IS NOT NULL, assumeNotNull(until), closed > begins, closed, toDateTime64('2200-01-01 00:00:00', 3, 'UTC')) AS ends,
    arrayFilter(a -> a != '', splitByRegexp('[,;\\s]+', argMaxIf(attributes['campaign.addresses'], ingest_time, declaration))) AS addresses,
    arrayFilter(a -> a != '', splitByRegexp('[,;\\s]+', argMaxIf(attributes['campaign.actors'], ingest_time, declaration))) AS actors,
    -- Of what is no address or network there is no range: it attributes nothing.
    arrayMap(n -> IPv6CIDRToRange(assumeNotNull(toIPv6OrNull(n.1)), toUInt8(assumeNotNull(n.2))),
        arrayFilter(n -> toIPv6OrNull(n.1) IS NOT NULL AND n.2 IS NOT NULL AND ifNull(n.2, 0) <= 128, arrayMap(
            a -> (splitByChar('/', a)[1],
                if(position(a, '/') = 0, toUInt16(128), toUInt16OrNull(splitByChar('/', a)[2]) + if(isIPv4String(splitByChar('/', a)[1]), 96, 0))),
            addresses))) AS ranges
FROM
(
    SELECT *, event_type = 'campaign.declared' AS declaration
    FROM v_events
    WHERE event_type IN ('campaign.declared', 'campaign.closed') AND campaign_id != ''
)
GROUP BY campaign_id
HAVING countIf(declaration) > 0;

-- Events of campaigns, and why: what said so itself, or an address or account of a declaration, in its time.
CREATE VIEW IF NOT EXISTS v_attributed AS
SELECT toString(campaign_id) AS campaign, 'itself' AS by, event_id, event_time, event_type, project, environment, host, actor, src_ip, attack_ids, title
FROM v_events
WHERE campaign_id != ''
UNION ALL
SELECT c.campaign AS campaign, if(e.src_ip != toIPv6('::') AND arrayExists(r -> e.src_ip >= r.1 AND e.src_ip <= r.2, c.ranges), 'address', 'account') AS by,
    e.event_id, e.event_time, e.event_type, e.project, e.environment, e.host, e.actor, e.src_ip, e.attack_ids, e.title
FROM
(
    SELECT event_id, event_time, event_type, project, environment, host, actor, src_ip, attack_ids, title
    FROM v_events
    WHERE campaign_id = '' AND event_time BETWEEN (SELECT min(begins) FROM v_campaigns) AND (SELECT max(ends) FROM v_campaigns)
) AS e
CROSS JOIN (SELECT toString(campaign_id) AS campaign, begins, ends, ranges, actors FROM v_campaigns WHERE notEmpty(ranges) OR notEmpty(actors)) AS c
WHERE e.event_time BETWEEN c.begins AND c.ends
    AND ((e.src_ip != toIPv6('::') AND arrayExists(r -> e.src_ip >= r.1 AND e.src_ip <= r.2, c.ranges)) OR (e.actor != '' AND has(c.actors, e.actor)));
