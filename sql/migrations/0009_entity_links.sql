-- How entities hang together: which run built an artifact, of which commit, in which change, approved by whom, where it
-- runs. A link "a rel b" stands here twice, under a and under b, so that all neighbours of an entity are one look-up.
--
--   rel              from       to          made of
--   built_by         artifact   run         what a run packages
--   of_commit        run        commit      runs and their commit
--   in_change        commit     change      changes and their commits
--   approved_by      change     user        approvals, dispositions 8
--   signed_by        artifact   user        signatures
--   published_as     artifact   name        the name or tag that it was published under
--   contains         artifact   component   bills of materials
--   deployed_to      artifact   service     deployments; a service is environment/service
--   of_commit        artifact   commit      builds and deployments that name a commit
--   runs_on          service    host        deployments that name a host
--   uses_credential  ip, user   credential  who used a credential, by its fingerprint
--   attacks          ip         host, database  failed logins, attacks and detections, by their source address
--   about            finding's CVE component   vulnerabilities and the component that has them
CREATE TABLE IF NOT EXISTS entity_links
(
    kind       LowCardinality(String) COMMENT 'kind of the entity: artifact, run, commit, change, user, component, service, host, ip, database, credential, vulnerability, name',
    id         String                 COMMENT 'the entity in canonical form, as events has it; addresses as text, databases as host/database' CODEC(ZSTD(1)),
    rel        LowCardinality(String) COMMENT 'relation, read from the side "from" to the side "to"',
    side       Enum8('from' = 1, 'to' = 2) COMMENT 'which side of the relation the entity is: artifact built_by run has the artifact at from',
    other_kind LowCardinality(String) COMMENT 'kind of its neighbour',
    other_id   String                 COMMENT 'its neighbour' CODEC(ZSTD(1)),

    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'event_time of the first event that shows it',
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'event_time of the last one',
    event_id   SimpleAggregateFunction(max, UUID)                 COMMENT 'one of those events',
    n          SimpleAggregateFunction(sum, UInt64)               COMMENT 'rows that showed it'
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, id, rel, side, other_kind, other_id)
TTL toDateTime(last_seen) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'links between entities, each under both of its ends; ask v_entity_links';

CREATE MATERIALIZED VIEW IF NOT EXISTS entity_links_mv TO entity_links AS
WITH
    if(src_ip = toIPv6('::'), '', replaceOne(toString(src_ip), '::ffff:', '')) AS ip,
    if(service = '', '', concat(environment, '/', service)) AS placed,
    if(db_name = '', '', concat(host, '/', db_name)) AS database,
    toString(attributes['credential']) AS credential,
    event_type IN ('auth.failed', 'attack', 'detection') AS hostile
SELECT
    if(side = 'from', link.1, link.4) AS kind,
    if(side = 'from', link.2, link.5) AS id,
    link.3 AS rel,
    side,
    if(side = 'from', link.4, link.1) AS other_kind,
    if(side = 'from', link.5, link.2) AS other_id,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    max(event_id) AS event_id,
    count() AS n
FROM
(
    SELECT
        event_time, event_id,
        arrayJoin(arrayFilter(l -> l.2 != '' AND l.5 != '', multiIf(
            hostile,
            [('ip', ip, 'attacks', 'host', toString(host)), ('ip', ip, 'attacks', 'database', database)],
            startsWith(event_type, 'artifact.') OR startsWith(event_type, 'build.'),
            [('artifact', artifact_digest, 'built_by', 'run', if(event_type IN ('artifact.packaged', 'build.finished'), run_id, '')),
             ('run', run_id, 'of_commit', 'commit', commit_sha),
             ('artifact', artifact_digest, 'of_commit', 'commit', commit_sha),
             ('artifact', artifact_digest, 'signed_by', 'user', if(event_type = 'artifact.signed', toString(actor), '')),
             ('artifact', artifact_digest, 'published_as', 'name', if(event_type = 'artifact.published', toString(artifact), ''))],
            event_type = 'component.added',
            [('artifact', artifact_digest, 'contains', 'component', purl)],
            event_type = 'vulnerability.found',
            [('vulnerability', if(notEmpty(vuln_ids), toString(vuln_ids[1]), ''), 'about', 'component', purl)],
            startsWith(event_type, 'service.'),
            [('artifact', artifact_digest, 'deployed_to', 'service', placed),
             ('artifact', artifact_digest, 'of_commit', 'commit', commit_sha),
             ('service', placed, 'runs_on', 'host', toString(host))],
            startsWith(event_type, 'change.') OR startsWith(event_type, 'approval.'),
            [('commit', commit_sha, 'in_change', 'change', change_id),
             ('change', change_id, 'approved_by', 'user', if(event_type = 'approval.closed' AND disposition_id = 8, toString(actor), ''))],
            credential != '' AND event_type IN ('auth.success', 'api.call'),
            [('ip', ip, 'uses_credential', 'credential', credential), ('user', toString(actor), 'uses_credential', 'credential', credential)],
            [('run', run_id, 'of_commit', 'commit', commit_sha)]
        ))) AS link
    FROM events
    WHERE event_type NOT IN ('net.flow', 'dns.query', 'http.request', 'metric', 'db.size', 'log', 'heartbeat', 'tls.handshake', 'testcaserun.finished')
)
ARRAY JOIN CAST(['from', 'to'], 'Array(Enum8(\'from\' = 1, \'to\' = 2))') AS side
GROUP BY kind, id, rel, side, other_kind, other_id;

-- Every link once, from its side "from" to its side "to".
CREATE VIEW IF NOT EXISTS v_entity_links AS
SELECT
    kind AS from_kind, id AS from_id, rel, other_kind AS to_kind, other_id AS to_id,
    min(first_seen) AS first_seen, max(last_seen) AS last_seen, max(event_id) AS event_id, sum(n) AS n
FROM entity_links
WHERE side = 'from'
GROUP BY from_kind, from_id, rel, to_kind, to_id;
