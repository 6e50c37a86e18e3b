-- What could not become an event or a row, from the topic tocsin.dlq. The coordinates name the record in Kafka; seq
-- numbers the refusals of one record.
CREATE TABLE IF NOT EXISTS dead_letters
(
    ts              DateTime64(3, 'UTC')   COMMENT 'when the record reached Kafka' CODEC(Delta, ZSTD(1)),
    kafka_topic     LowCardinality(String) COMMENT 'topic of the record',
    kafka_partition Int32                  COMMENT 'partition of the record',
    kafka_offset    Int64                  COMMENT 'offset of the record' CODEC(Delta, ZSTD(1)),
    seq             UInt32                 COMMENT 'number of this refusal among those of the record, from 0',
    line            UInt32                 COMMENT 'line within the record, from 1; 0 when all of it is meant',
    stage           LowCardinality(String) COMMENT 'step that refused it: parse, rule, sink ...',
    source          LowCardinality(String) COMMENT 'format that it was read as; empty when none was recognised',
    reason          String                 COMMENT 'what is wrong and, where it can be mended, how' CODEC(ZSTD(1)),
    rule_id         LowCardinality(String) COMMENT 'rule that failed on it, if one did',
    column_name     LowCardinality(String) COMMENT 'column that refused a value, if one did',
    code            Int32                  COMMENT 'ClickHouse''s error code, 0 where it was not ClickHouse',
    data            String                 COMMENT 'the refused part, redacted' CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (kafka_topic, kafka_partition, kafka_offset, seq, ts)
TTL toDateTime(ts) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'records that were refused; ask v_dead_letters';

-- Each dead letter once. The same one is always of the same month.
CREATE VIEW IF NOT EXISTS v_dead_letters AS
SELECT * FROM dead_letters FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
