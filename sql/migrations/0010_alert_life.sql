-- What people say of alerts: who quieted what, until when, why, and what it was.
ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS reopened    UInt32                 COMMENT 'how often it fired again after it was resolved',
    ADD COLUMN IF NOT EXISTS changed_by  LowCardinality(String) COMMENT 'who acknowledged, resolved or silenced it; empty where tocsin decided',
    ADD COLUMN IF NOT EXISTS reason      String                 COMMENT 'why, in that person''s words' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS until       DateTime64(3, 'UTC')   COMMENT 'when the acknowledgement or silence ends; 1970 is never',
    ADD COLUMN IF NOT EXISTS disposition LowCardinality(String) COMMENT 'what a person says that it was: true_positive, false_positive, benign or duplicate';

CREATE OR REPLACE VIEW v_alerts AS
SELECT * FROM alerts FINAL;

-- The audit: every record of tocsin.control that could be obeyed.
CREATE TABLE IF NOT EXISTS alert_controls
(
    control_id  UUID                   COMMENT 'id of the record',
    ts          DateTime64(3, 'UTC')   COMMENT 'when the person said it' CODEC(Delta, ZSTD(1)),
    action      LowCardinality(String) COMMENT 'ack, resolve, silence, or expire: a silence ends before its time',
    team        LowCardinality(String) COMMENT 'whose alerts',
    said_by     LowCardinality(String) COMMENT 'who said it',
    reason      String                 COMMENT 'why' CODEC(ZSTD(1)),
    until       DateTime64(3, 'UTC')   COMMENT 'when it ends; 1970 is never',
    alert_id    UUID                   COMMENT 'alert that is acknowledged or resolved',
    disposition LowCardinality(String) COMMENT 'what a resolution says that the alert was',
    silence_id  UUID                   COMMENT 'silence that begins or ends',
    window      LowCardinality(String) COMMENT 'why there is a silence: silence, maintenance or chaos',
    rule_id     LowCardinality(String) COMMENT 'alerts that it covers: all of what is given in these four',
    project     LowCardinality(String) COMMENT 'as rule_id',
    environment LowCardinality(String) COMMENT 'as rule_id',
    entity      String                 COMMENT 'as rule_id; kind=value' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, control_id, team)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'what people said of alerts: acknowledgements, resolutions, silences';

-- How often a rule is right, by what people said of its alerts.
CREATE VIEW IF NOT EXISTS v_rule_precision AS
SELECT rule_id, count() AS alerts, countIf(verdict != '') AS judged, countIf(verdict = 'false_positive') AS false_positives,
    if(judged = 0, nan, 1 - false_positives / judged) AS precision
FROM (SELECT alert_id, any(rule_id) AS rule_id FROM alerts GROUP BY alert_id) AS a
LEFT JOIN
(
    SELECT alert_id, argMax(disposition, ts) AS verdict
    FROM alert_controls
    WHERE action = 'resolve' AND disposition != ''
    GROUP BY alert_id
) AS d USING (alert_id)
GROUP BY rule_id;
