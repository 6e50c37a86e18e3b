-- What the growth detector says of each database and table, from the topic tocsin.growth.
CREATE TABLE IF NOT EXISTS db_growth
(
    ts              DateTime64(3, 'UTC')   COMMENT 'time of the sample' CODEC(Delta, ZSTD(1)),
    project         LowCardinality(String) COMMENT 'project that the database belongs to',
    host            LowCardinality(String) COMMENT 'host of the database',
    db_name         LowCardinality(String) COMMENT 'database',
    db_object       LowCardinality(String) COMMENT 'schema.table; empty for the database as a whole',
    size_bytes      UInt64                 COMMENT 'size, in bytes' CODEC(Delta, ZSTD(1)),
    delta_bytes     Int64                  COMMENT 'change since the sample before, in bytes' CODEC(ZSTD(1)),
    rate_per_min    Float64                COMMENT 'relative growth of the increments in a minute; 0 where they do not grow' CODEC(ZSTD(1)),
    doubling_min    Float64                COMMENT 'minutes in which the increments double; 0 where they do not' CODEC(ZSTD(1)),
    minutes_to_full Float64                COMMENT 'forecast of the minutes until the capacity is reached; 0 unknown' CODEC(ZSTD(1)),
    score           Float64                COMMENT 'how sure the detector is, 0 to 1' CODEC(ZSTD(1)),
    attack_events   UInt64                 COMMENT 'evidence of an attack in the detector''s window, in events' CODEC(ZSTD(1)),
    state           Enum8('ok' = 0, 'watch' = 1, 'warn' = 2, 'crit' = 3) COMMENT 'what the detector makes of it'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (project, host, db_name, db_object, ts)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'growth of databases; ask v_db_growth';

-- Each sample once. The same sample is always of the same month.
CREATE VIEW IF NOT EXISTS v_db_growth AS
SELECT * FROM db_growth FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
