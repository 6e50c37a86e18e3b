-- How many records and rows did each partition bring, and are there gaps to look at?
SELECT kafka_topic, kafka_partition, min(first_offset) AS from_offset, max(last_offset) AS to_offset, sum(records) AS records, sum(rows) AS rows, to_offset - from_offset + 1 - records AS without_rows
FROM ledger
GROUP BY kafka_topic, kafka_partition
ORDER BY kafka_topic, kafka_partition;
