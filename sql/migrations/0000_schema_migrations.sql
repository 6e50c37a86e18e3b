-- Which migrations this database has. A file that was applied must not change any more: its checksum is compared with
-- the one written here, and `tocsin migrate` refuses to go on when they differ. What is to change gets a new file.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32                               COMMENT 'number in front of the file''s name',
    name       String                               COMMENT 'name of the file without number and ending',
    checksum   String                               COMMENT 'SHA-256 of the file, in hex',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when its last statement was done'
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
COMMENT 'migrations that were applied to this database';
