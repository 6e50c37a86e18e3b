-- Ten years in days, as every other table's age is told: the configuration compares and changes days (keep_days).
ALTER TABLE events_1h MODIFY TTL ts + INTERVAL 3650 DAY;
