-- Events by minute: what panels over weeks read instead of events, kept for 400 days.
--
-- It counts rows as they are written: an event that its source sends twice, in two records, counts twice here and once in
-- v_events. ts is the minute of event_time as events stores it, clamped.
CREATE TABLE IF NOT EXISTS events_1m
(
    ts             DateTime('UTC')         COMMENT 'minute of event_time' CODEC(Delta, ZSTD(1)),
    project        LowCardinality(String)  COMMENT 'as in events',
    environment    LowCardinality(String)  COMMENT 'as in events',
    phase          Enum8('unknown' = 0, 'requirements' = 1, 'writing' = 2, 'testing' = 3, 'packaging' = 4, 'release' = 5, 'deployment' = 6, 'operation' = 7, 'monitoring' = 8) COMMENT 'as in events',
    team           Enum8('none' = 0, 'dev' = 1, 'sec' = 2, 'ops' = 3, 'mon' = 4) COMMENT 'as in events',
    source         LowCardinality(String)  COMMENT 'as in events',
    event_type     LowCardinality(String)  COMMENT 'as in events',
    severity_id    UInt8                   COMMENT 'as in events',
    outcome        Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'error' = 3, 'cancel' = 4, 'skipped' = 5) COMMENT 'as in events',
    disposition_id UInt8                   COMMENT 'as in events',
    net_scope      Enum8('none' = 0, 'private' = 1, 'ingress' = 2, 'egress' = 3, 'external' = 4) COMMENT 'as in events',

    n       SimpleAggregateFunction(sum, UInt64)         COMMENT 'rows',
    bytes   SimpleAggregateFunction(sum, UInt64)         COMMENT 'sum of bytes',
    actors  AggregateFunction(uniqCombined64(14), String) COMMENT 'distinct actors, a state: ask v_events_1m',
    src_ips AggregateFunction(uniqCombined64(14), IPv6)   COMMENT 'distinct source addresses, a state: ask v_events_1m'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (project, phase, source, event_type, environment, team, severity_id, outcome, disposition_id, net_scope, ts)
TTL ts + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'events by minute; ask v_events_1m';

CREATE MATERIALIZED VIEW IF NOT EXISTS events_1m_mv TO events_1m AS
SELECT
    toStartOfMinute(event_time) AS ts, project, environment, phase, team, source, event_type, severity_id, outcome,
    disposition_id, net_scope,
    count() AS n,
    sum(bytes) AS bytes,
    uniqCombined64StateIf(14)(toString(actor), actor != '') AS actors,
    uniqCombined64StateIf(14)(src_ip, src_ip != toIPv6('::')) AS src_ips
FROM events
GROUP BY ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope;

-- One row a minute and combination, with numbers in place of states. n and bytes may be summed further; actors and
-- src_ips may not, they are distinct within their row.
CREATE VIEW IF NOT EXISTS v_events_1m AS
SELECT
    ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope,
    sum(n) AS n,
    sum(bytes) AS bytes,
    uniqCombined64Merge(14)(actors) AS actors,
    uniqCombined64Merge(14)(src_ips) AS src_ips
FROM events_1m
GROUP BY ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope;
