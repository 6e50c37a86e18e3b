-- The proof of delivery: for every block that events took, which offsets of which partition it held. `tocsin audit`
-- compares it with Kafka and with the rows; a replay that comes after the deduplication window is measured against it.
--
-- A block is one partition's chunk of offsets; it gives one row here for each day of event_time in it, because a day is a
-- partition of events and ClickHouse stores a block atomically by partition only.
CREATE TABLE IF NOT EXISTS ledger
(
    kafka_topic     LowCardinality(String) COMMENT 'topic of the records',
    kafka_partition Int32                  COMMENT 'partition of the records',
    day             Date                   COMMENT 'day of event_time: the partition of events that the rows went to',
    first_offset    Int64                  COMMENT 'lowest offset with a row',
    last_offset     Int64                  COMMENT 'highest offset with a row',
    records         UInt64                 COMMENT 'offsets with a row; those between without one were dropped, failed, or are rows of another day',
    rows            UInt64                 COMMENT 'rows; more than records where a record holds several events',
    inserted_at     DateTime('UTC') DEFAULT now() COMMENT 'when ClickHouse took the block'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (kafka_topic, kafka_partition, first_offset, day)
TTL day + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'offsets and rows of every block in events';

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_mv TO ledger AS
SELECT
    kafka_topic, kafka_partition, toDate(event_time) AS day,
    min(kafka_offset) AS first_offset,
    max(kafka_offset) AS last_offset,
    uniqExact(kafka_offset) AS records,
    count() AS rows
FROM events
GROUP BY kafka_topic, kafka_partition, day;
