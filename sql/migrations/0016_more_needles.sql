-- Needles that were looked for in every row: what a run did (of a commit, in its page) and what an account did. They come with merges and
-- new parts; ALTER TABLE events MATERIALIZE INDEX ix_run (ix_actor) makes them for old ones at once.
ALTER TABLE events
    ADD INDEX IF NOT EXISTS ix_run run_id TYPE bloom_filter(0.01) GRANULARITY 4,
    ADD INDEX IF NOT EXISTS ix_actor actor TYPE bloom_filter(0.01) GRANULARITY 4;
