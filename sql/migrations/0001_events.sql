-- Every event, a row each: the columns of schemas.EventFields, in that order, with its words as comments. A test holds
-- the two together.
--
-- Order and partitions. Panels and hunts ask for a phase, a source and a type over a time, so that is the order; event_id
-- ends it, so that a record which its source sends again falls together with the first one (v_events hides the second
-- until then). A day is a partition: retention drops whole parts.
--
-- Time. The sink stores event_time as the source said it if it lies in [ingest_time - 30 d, ingest_time + 1 h], and
-- ingest_time with the label clock-skew if not: a broken clock must neither scatter one block over more partitions than
-- max_partitions_per_insert_block allows nor put rows where no query looks. TTL counts from event_time, so rows that are
-- older than it when they are inserted are not kept here, while events_1m counts them.
--
-- Exactly once. non_replicated_deduplication_window remembers the tokens of the last 10,000 blocks: a block sent again
-- with its token changes nothing, neither here nor in what views write. Every view's target needs the same window.
CREATE TABLE IF NOT EXISTS events
(
    -- identity
    event_id        UUID
        COMMENT 'UUIDv5 of the source and the record''s own identity; the same record gives the same id, however often it is sent' CODEC(NONE),
    event_time      DateTime64(3, 'UTC')
        COMMENT 'when it happened, by the source''s clock' CODEC(Delta, ZSTD(1)),
    ingest_time     DateTime64(3, 'UTC')
        COMMENT 'when the record reached Kafka' CODEC(Delta, ZSTD(1)),

    -- class
    phase           Enum8('unknown' = 0, 'requirements' = 1, 'writing' = 2, 'testing' = 3, 'packaging' = 4, 'release' = 5, 'deployment' = 6, 'operation' = 7, 'monitoring' = 8)
        COMMENT 'phase of the life cycle that it belongs to',
    team            Enum8('none' = 0, 'dev' = 1, 'sec' = 2, 'ops' = 3, 'mon' = 4)
        COMMENT 'team that owns what it happened to',
    source          LowCardinality(String)
        COMMENT 'name of the format that it was read from, as `tocsin sources` lists them',
    event_type      LowCardinality(String)
        COMMENT 'what happened, in the words of CDEvents first and ours after: subject.predicate',
    class_uid       UInt16
        COMMENT 'OCSF 1.8 class, 0 where OCSF has none',
    severity_id     UInt8
        COMMENT 'OCSF severity: 0 unknown, 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal',
    outcome         Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'error' = 3, 'cancel' = 4, 'skipped' = 5)
        COMMENT 'how it ended',
    disposition_id  UInt8
        COMMENT 'OCSF disposition: 1 allowed, 2 blocked, 3 quarantined, 8 approved, 10 exonerated, 11 corrected, 12 partially corrected, 13 uncorrected, 15 detected, 17 logged, 24 access revoked, 25 rejected, 26 unauthorized',
    title           String
        COMMENT 'one line for people' CODEC(ZSTD(1)),

    -- context
    project         LowCardinality(String)
        COMMENT 'project that it belongs to',
    environment     LowCardinality(String)
        COMMENT 'production, staging, sec-playground ...',
    service         LowCardinality(String)
        COMMENT 'service concerned',

    -- code
    repo            LowCardinality(String)
        COMMENT 'host/org/name in lower case, no scheme, no .git',
    ref             String
        COMMENT 'branch or tag, without refs/heads/ or refs/tags/' CODEC(ZSTD(1)),
    commit_sha      String
        COMMENT '40 or 64 lower-case hex digits' CODEC(ZSTD(1)),
    change_id       String
        COMMENT 'pull or merge request: repo!number' CODEC(ZSTD(1)),

    -- pipeline
    pipeline        LowCardinality(String)
        COMMENT 'name of the CI pipeline, job or workflow, or of the test suite',
    run_id          String
        COMMENT 'one run of it: system/job/number' CODEC(ZSTD(1)),
    task            LowCardinality(String)
        COMMENT 'step within the run, or the test case',

    -- artifact
    artifact        LowCardinality(String)
        COMMENT 'name of the artifact, image or file',
    artifact_digest String
        COMMENT 'sha256:... ; a tag is never an identity' CODEC(ZSTD(1)),
    purl            String
        COMMENT 'package URL of the component, without qualifiers' CODEC(ZSTD(1)),

    -- finding
    rule_id         LowCardinality(String)
        COMMENT 'the tool''s own rule, check or signature',
    vuln_ids        Array(LowCardinality(String))
        COMMENT 'CVE, GHSA and other ids of the vulnerability, CVE first',
    finding_key     UInt64
        COMMENT 'the same finding over runs, tools'' versions and commits has the same key; 0 where it is no finding' CODEC(ZSTD(1)),

    -- actors
    actor           LowCardinality(String)
        COMMENT 'user, robot or account that acted',
    host            LowCardinality(String)
        COMMENT 'host concerned: FQDN in lower case',
    src_ip          IPv6
        COMMENT 'address that it came from; IPv4 mapped' CODEC(ZSTD(1)),
    dst_ip          IPv6
        COMMENT 'address that it went to; IPv4 mapped' CODEC(ZSTD(1)),
    dst_domain      LowCardinality(String)
        COMMENT 'domain that it went to or asked for',
    net_scope       Enum8('none' = 0, 'private' = 1, 'ingress' = 2, 'egress' = 3, 'external' = 4)
        COMMENT 'which border the traffic crosses',
    bytes           UInt64
        COMMENT 'bytes moved, both ways' CODEC(ZSTD(1)),

    -- data store
    db_name         LowCardinality(String)
        COMMENT 'database',
    db_object       LowCardinality(String)
        COMMENT 'schema.table, or what else it is about in the database',

    -- measure
    metric_name     LowCardinality(String)
        COMMENT 'name of the metric',
    metric_value    Float64
        COMMENT 'its value, in the unit that its name ends in' CODEC(ZSTD(1)),

    -- threat
    campaign_id     LowCardinality(String)
        COMMENT 'attack campaign that it is attributed to; for security''s eyes',
    attack_ids      Array(LowCardinality(String))
        COMMENT 'MITRE ATT&CK technique ids',
    labels          Array(LowCardinality(String))
        COMMENT 'chaos:<id>, maintenance:<id>, sec-routine, playground, simulated, flaky, first-seen, clock-skew',

    -- rest
    attributes      Map(LowCardinality(String), String)
        COMMENT 'what else the source said, under OpenTelemetry''s names where there are any' CODEC(ZSTD(1)),
    raw             String
        COMMENT 'the record, or the part of it that this event is from, redacted' CODEC(ZSTD(3)),

    -- coordinates
    kafka_topic     LowCardinality(String)
        COMMENT 'topic of the record',
    kafka_partition Int32
        COMMENT 'partition of the record' CODEC(ZSTD(1)),
    kafka_offset    Int64
        COMMENT 'offset of the record' CODEC(Delta, ZSTD(1)),

    -- Needles: what a page of one entity or one alert asks for, over all days.
    INDEX ix_event  event_id        TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX ix_commit commit_sha      TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX ix_digest artifact_digest TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX ix_src_ip src_ip          TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX ix_dst_ip dst_ip          TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX ix_vuln   vuln_ids        TYPE bloom_filter(0.01) GRANULARITY 4,
    -- The auditor compares offsets with Kafka's.
    INDEX ix_offset kafka_offset    TYPE minmax             GRANULARITY 4
)
ENGINE = ReplacingMergeTree(ingest_time)
PARTITION BY toDate(event_time)
PRIMARY KEY (phase, source, event_type, event_time)
ORDER BY (phase, source, event_type, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'events of all phases, normalized; ask v_events';

-- The events as analysts see them: each event once, even before a merge has dropped what its source sent twice. The same
-- event is always of the same day, so partitions need not be merged with each other.
CREATE VIEW IF NOT EXISTS v_events AS
SELECT * FROM events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
