-- Events by hour, for panels over months and years: kept for ten years. Its columns are those of events_1m, with ts at the
-- beginning of the hour, and it is fed by what events_1m is given, so that a block costs the server one pass over its rows.
CREATE TABLE IF NOT EXISTS events_1h AS events_1m
ENGINE = AggregatingMergeTree
PARTITION BY toYear(ts)
ORDER BY (project, phase, source, event_type, environment, team, severity_id, outcome, disposition_id, net_scope, ts)
TTL ts + INTERVAL 10 YEAR
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'events by hour; ask v_events_1h';

CREATE MATERIALIZED VIEW IF NOT EXISTS events_1h_mv TO events_1h AS
SELECT
    toStartOfHour(ts) AS ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id,
    net_scope,
    sum(n) AS n,
    sum(bytes) AS bytes,
    uniqCombined64MergeState(14)(actors) AS actors,
    uniqCombined64MergeState(14)(src_ips) AS src_ips
FROM events_1m
GROUP BY ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope;

CREATE VIEW IF NOT EXISTS v_events_1h AS
SELECT
    ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope,
    sum(n) AS n,
    sum(bytes) AS bytes,
    uniqCombined64Merge(14)(actors) AS actors,
    uniqCombined64Merge(14)(src_ips) AS src_ips
FROM events_1h
GROUP BY ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope;

-- A day is 24 rows of events_1h at most, which is few enough to need no table: each table more costs the server about
-- 25 ms of processor time a block.
CREATE VIEW IF NOT EXISTS v_events_1d AS
SELECT
    toStartOfDay(h.ts) AS ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope,
    sum(n) AS n,
    sum(bytes) AS bytes,
    uniqCombined64Merge(14)(actors) AS actors,
    uniqCombined64Merge(14)(src_ips) AS src_ips
FROM events_1h AS h
GROUP BY ts, project, environment, phase, team, source, event_type, severity_id, outcome, disposition_id, net_scope;
