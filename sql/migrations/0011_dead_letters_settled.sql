-- What people did about dead letters: the letter itself stays as it was.
CREATE TABLE IF NOT EXISTS dead_letters_settled
(
    kafka_topic     LowCardinality(String) COMMENT 'as in dead_letters',
    kafka_partition Int32                  COMMENT 'as in dead_letters',
    kafka_offset    Int64                  COMMENT 'as in dead_letters; all letters of the record are settled',
    action          Enum8('replayed' = 1, 'discarded' = 2) COMMENT 'replayed: its events are stored by now; discarded: it is not wanted',
    rows            UInt64                 COMMENT 'events that the replay stored',
    said_by         LowCardinality(String) COMMENT 'who did it',
    reason          String                 COMMENT 'why, in that person''s words' CODEC(ZSTD(1)),
    ts              DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when'
)
ENGINE = ReplacingMergeTree(ts)
PARTITION BY toYYYYMM(ts)
ORDER BY (kafka_topic, kafka_partition, kafka_offset)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'dead letters that were replayed or discarded; ask v_dead_letters_open for the others';

CREATE VIEW IF NOT EXISTS v_dead_letters_open AS
SELECT * FROM v_dead_letters
WHERE (kafka_topic, kafka_partition, kafka_offset) NOT IN (SELECT kafka_topic, kafka_partition, kafka_offset FROM dead_letters_settled);
