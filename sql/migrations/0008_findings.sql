-- Findings: what is known of each one, over all tools, runs and releases. No TTL: that an element is blocked is remembered
-- longer than the events that said so.
--
-- What a tool says of it goes before what a decision says. Only the latest time of each kind of transition is kept, and the state follows from comparing them (v_findings). So the
-- state is right whatever the order in which events come, and however often one comes.
CREATE TABLE IF NOT EXISTS findings
(
    project         LowCardinality(String) COMMENT 'as in events',
    finding_key     UInt64                 COMMENT 'as in events; never 0',

    first_seen      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'first event about it',
    last_seen       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last time that a tool saw it; 1970 if none did',
    blocked_at      SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.blocked; 1970 is never, here and below',
    accepted_at     SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.accepted',
    accepted_until  SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'end of the longest acceptance: attribute expires; 2299 if one has none',
    suppressed_at   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.suppressed',
    corrected_at    SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.corrected',
    verified_at     SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.verified',
    reopened_at     SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'last finding.reopened',
    worst           SimpleAggregateFunction(max, UInt8)                COMMENT 'highest severity_id of its events',

    title           AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))) COMMENT 'a state, as all below: ask v_findings',
    source          AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    rule_id         AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    vuln_ids        AggregateFunction(argMax, Array(String), Tuple(Bool, DateTime64(3, 'UTC'))),
    severity_id     AggregateFunction(argMax, UInt8, Tuple(Bool, DateTime64(3, 'UTC'))),
    repo            AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    purl            AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    artifact_digest AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    host            AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    path            AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    team            AggregateFunction(argMax, String, Tuple(Bool, DateTime64(3, 'UTC'))),
    fixed_version   AggregateFunction(argMax, String, DateTime64(3, 'UTC')),
    phases          AggregateFunction(groupUniqArray, String)
)
ENGINE = AggregatingMergeTree
ORDER BY (project, finding_key)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'findings by key; ask v_findings';

CREATE MATERIALIZED VIEW IF NOT EXISTS findings_mv TO findings AS
WITH NOT startsWith(e.event_type, 'finding.') AS seen -- a tool saw it; else somebody decided about it
SELECT
    project, finding_key,
    min(e.event_time) AS first_seen,
    maxIf(e.event_time, seen) AS last_seen,
    maxIf(e.event_time, e.event_type = 'finding.blocked' OR (e.disposition_id = 2 AND e.event_type = 'vulnerability.found')) AS blocked_at,
    maxIf(e.event_time, e.event_type = 'finding.accepted') AS accepted_at,
    maxIf(if(e.attributes['expires'] = '', toDateTime64('2299-12-31', 3, 'UTC'), parseDateTime64BestEffortOrZero(e.attributes['expires'], 3, 'UTC')), e.event_type = 'finding.accepted') AS accepted_until,
    maxIf(e.event_time, e.event_type = 'finding.suppressed') AS suppressed_at,
    maxIf(e.event_time, e.event_type = 'finding.corrected') AS corrected_at,
    maxIf(e.event_time, e.event_type = 'finding.verified') AS verified_at,
    maxIf(e.event_time, e.event_type = 'finding.reopened') AS reopened_at,
    max(e.severity_id) AS worst,
    argMaxStateIf(e.title, (seen, e.event_time), e.title != '') AS title,
    argMaxState(toString(e.source), (seen, e.event_time)) AS source,
    argMaxStateIf(toString(e.rule_id), (seen, e.event_time), e.rule_id != '') AS rule_id,
    argMaxStateIf(CAST(e.vuln_ids, 'Array(String)'), (seen, e.event_time), notEmpty(e.vuln_ids)) AS vuln_ids,
    argMaxStateIf(e.severity_id, (seen, e.event_time), e.severity_id != 0) AS severity_id,
    argMaxStateIf(toString(e.repo), (seen, e.event_time), e.repo != '') AS repo,
    argMaxStateIf(e.purl, (seen, e.event_time), e.purl != '') AS purl,
    argMaxStateIf(e.artifact_digest, (seen, e.event_time), e.artifact_digest != '') AS artifact_digest,
    argMaxStateIf(toString(e.host), (seen, e.event_time), e.host != '') AS host,
    argMaxStateIf(e.attributes['code.file.path'], (seen, e.event_time), e.attributes['code.file.path'] != '') AS path,
    argMaxStateIf(toString(e.team), (seen, e.event_time), e.team != 'none') AS team,
    argMaxStateIf(e.attributes['fixed_version'], e.event_time, e.attributes['fixed_version'] != '') AS fixed_version,
    groupUniqArrayState(toString(e.phase)) AS phases
FROM events AS e
WHERE finding_key != 0
GROUP BY project, finding_key;

-- The findings with their state now:
--
--   suppressed     somebody chose not to see it, and nobody reopened it since
--   verified       seen mended in a later phase, and not seen again since
--   fixed          reported as mended, and not seen again since
--   accepted       the risk is accepted and the acceptance has not run out
--   blocked        security forbids it: it must not reach a release
--   reopened       it was mended, or the acceptance ran out, and it is still there
--   new            nothing of these
--
-- due is when it should be mended: 15 days after the first sighting for critical ones and 30 for high ones, as CISA's
-- Binding Operational Directive 19-02 asks, and 90 for all others.
CREATE VIEW IF NOT EXISTS v_findings AS
WITH toDateTime64(0, 3, 'UTC') AS never
SELECT
    project, finding_key, state, title, severity_id, worst, source, rule_id, vuln_ids, repo, purl, artifact_digest, host,
    path, team, fixed_version, phases, first_seen,
    if(f.last_seen = never, first_seen, f.last_seen) AS last_seen,
    first_seen + toIntervalDay(multiIf(severity_id >= 5, 15, severity_id = 4, 30, 90)) AS due,
    state IN ('new', 'blocked', 'reopened') AS open,
    blocked_at, accepted_until, corrected_at, verified_at
FROM
(
    SELECT
        project, finding_key,
        min(f.first_seen) AS first_seen, max(f.last_seen) AS last_seen, max(f.blocked_at) AS blocked_at,
        max(f.accepted_at) AS accepted_at, max(f.accepted_until) AS accepted_until, max(f.suppressed_at) AS suppressed_at,
        max(f.corrected_at) AS corrected_at, max(f.verified_at) AS verified_at, max(f.reopened_at) AS reopened_at,
        max(f.worst) AS worst,
        argMaxMerge(f.title) AS title, argMaxMerge(f.source) AS source, argMaxMerge(f.rule_id) AS rule_id,
        argMaxMerge(f.vuln_ids) AS vuln_ids, argMaxMerge(f.severity_id) AS severity_id, argMaxMerge(f.repo) AS repo,
        argMaxMerge(f.purl) AS purl, argMaxMerge(f.artifact_digest) AS artifact_digest, argMaxMerge(f.host) AS host,
        argMaxMerge(f.path) AS path, argMaxMerge(f.team) AS team, argMaxMerge(f.fixed_version) AS fixed_version,
        arraySort(groupUniqArrayMerge(f.phases)) AS phases,
        greatest(corrected_at, verified_at) AS mended_at,
        greatest(last_seen, reopened_at) AS still_there_at,
        multiIf(
            suppressed_at > never AND suppressed_at >= reopened_at, 'suppressed',
            mended_at > never AND mended_at >= still_there_at, if(verified_at >= corrected_at, 'verified', 'fixed'),
            accepted_until > now64(3) AND accepted_at >= blocked_at AND accepted_at >= reopened_at, 'accepted',
            blocked_at > never, 'blocked',
            mended_at > never OR accepted_at > never OR reopened_at > never, 'reopened',
            'new') AS state
    FROM findings AS f
    GROUP BY project, finding_key
) AS f;
