-- Alerts, from the topics tocsin.alerts.<team>. A row is one version of one alert; merges keep the newest version, and
-- v_alerts shows it before they do.
CREATE TABLE IF NOT EXISTS alerts
(
    alert_id          UUID                   COMMENT 'UUIDv5 of rule, version, key and window: a replay gives the same',
    version           UInt64                 COMMENT 'rises with every record of the same alert',
    ts                DateTime64(3, 'UTC')   COMMENT 'when this version reached Kafka' CODEC(Delta, ZSTD(1)),
    first_event_time  DateTime64(3, 'UTC')   COMMENT 'time of the first event in it' CODEC(Delta, ZSTD(1)),
    last_event_time   DateTime64(3, 'UTC')   COMMENT 'time of the last event in it' CODEC(Delta, ZSTD(1)),
    status            Enum8('firing' = 1, 'updated' = 2, 'suppressed' = 3, 'acked' = 4, 'resolved' = 5) COMMENT 'firing, updated and acked are open',
    team              Enum8('dev' = 1, 'sec' = 2, 'ops' = 3, 'mon' = 4) COMMENT 'team that it informs',
    alert_class       Enum8('normal' = 1, 'sec_requested' = 2) COMMENT 'sec_requested: security asked the team to be told',
    visibility        Enum8('team' = 1, 'sec_only' = 2) COMMENT 'who may see it',
    rule_id           LowCardinality(String) COMMENT 'rule or detector that made it',
    rule_version      UInt32                 COMMENT 'version of the rule',
    severity_id       UInt8                  COMMENT 'OCSF severity, as in events',
    confidence        UInt8                  COMMENT 'percent',
    phases            Array(Int8)            COMMENT 'phases that its events are of, by the numbers of events.phase',
    title             String                 COMMENT 'one line for people',
    summary           String                 COMMENT 'what happened, with the figures' CODEC(ZSTD(1)),
    dedup_key         String                 COMMENT 'the same trouble has the same key' CODEC(ZSTD(1)),
    incident_id       String                 COMMENT 'incident that it is part of',
    requested_by      LowCardinality(String) COMMENT 'who asked for a sec_requested alert',
    project           LowCardinality(String) COMMENT 'project concerned',
    environment       LowCardinality(String) COMMENT 'environment concerned',
    entities          Map(LowCardinality(String), String) COMMENT 'kind of entity to its canonical form',
    metrics           Map(LowCardinality(String), Float64) COMMENT 'the figures of the summary, units in their names',
    event_ids         Array(UUID)            COMMENT 'events in it, at most 50',
    event_count       UInt32                 COMMENT 'events in it, all of them',
    campaign_id       LowCardinality(String) COMMENT 'attack campaign that it is attributed to; for security''s eyes',
    attack_ids        Array(LowCardinality(String)) COMMENT 'MITRE ATT&CK technique ids',
    labels            Array(LowCardinality(String)) COMMENT 'as in events',
    suppressed_by     LowCardinality(String) COMMENT 'what keeps it quiet',
    detect_latency_ms UInt32                 COMMENT 'from the arrival of the last event in Kafka to this version, in milliseconds',
    runbook           String                 COMMENT 'path of the runbook' CODEC(ZSTD(1)),
    dashboard         String                 COMMENT 'path of the dashboard' CODEC(ZSTD(1)),
    query             String                 COMMENT 'SQL that shows the evidence' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (team, alert_class, rule_id, dedup_key, alert_id)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'alerts, the newest version of each; ask v_alerts';

-- What the newest version hides: when an alert was first raised, and every change since. Time to detect and time to
-- resolve are measured here.
CREATE TABLE IF NOT EXISTS alert_versions
(
    alert_id          UUID                 COMMENT 'as in alerts',
    version           UInt64               COMMENT 'as in alerts',
    ts                DateTime64(3, 'UTC') COMMENT 'when this version reached Kafka' CODEC(Delta, ZSTD(1)),
    status            Enum8('firing' = 1, 'updated' = 2, 'suppressed' = 3, 'acked' = 4, 'resolved' = 5) COMMENT 'as in alerts',
    severity_id       UInt8                COMMENT 'as in alerts',
    event_count       UInt32               COMMENT 'as in alerts',
    detect_latency_ms UInt32               COMMENT 'as in alerts'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (alert_id, version)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'every version of every alert';

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_versions_mv TO alert_versions AS
SELECT alert_id, version, ts, status, severity_id, event_count, detect_latency_ms
FROM alerts;

-- Each alert once, in its newest version. An alert may live over the end of a month, so FINAL merges partitions here.
CREATE VIEW IF NOT EXISTS v_alerts AS
SELECT * FROM alerts FINAL;
