-- With FINAL ClickHouse reads, besides what an index points to, all that overlaps it in the order of the key, for a newer version of the
-- row might lie there and not match. Ours overlap everywhere, so a question about one address or commit read every row. Versions of
-- an event differ in ingest_time only: what does not match has no version that does.
CREATE OR REPLACE VIEW v_events AS
SELECT * FROM events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, use_skip_indexes_if_final_exact_mode = 0;
