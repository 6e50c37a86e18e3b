// Package schemas is the one list of what tocsin's records hold: the fields of an event, the words its enumerations
// know, and the vocabulary of event types. Go, SQL, JSON Schema and docs/fields.md are checked against it by tests.
//
// It is data: it imports nothing of tocsin and decides nothing.
package schemas

import _ "embed"

// AlertSchema is the published JSON Schema of an alert's record.
//
//go:embed alert.schema.json
var AlertSchema []byte

// JSON Schemas of the files that authors of rules write, for their editors.
var (
	//go:embed rule.schema.json
	RuleSchema []byte
	//go:embed rule-test.schema.json
	RuleTestSchema []byte
	//go:embed exceptions.schema.json
	ExceptionsSchema []byte
)

// Field is one field of the event and one column of tocsin.events.
type Field struct {
	// Column is the name in ClickHouse, in `tocsin parse` output and in the JSON Schema.
	Column string
	// Go is the name in pipeline.Event, and so in a rule: ev.<Go>.
	Go string
	// ClickHouse is the column's type, as system.columns prints it.
	ClickHouse string
	// Group is the heading in docs/fields.md.
	Group string
	// Doc says what it means: unit, range, canonical form. It is the column's comment in ClickHouse as well.
	Doc string
}

// EventFields lists the event's fields in the order of the table's columns.
var EventFields = []Field{
	{"event_id", "ID", "UUID", "identity", "UUIDv5 of the source and the record's own identity; the same record gives the same id, however often it is sent"},
	{"event_time", "Time", "DateTime64(3, 'UTC')", "identity", "when it happened, by the source's clock"},
	{"ingest_time", "IngestTime", "DateTime64(3, 'UTC')", "identity", "when the record reached Kafka"},

	{"phase", "Phase", "Enum8('unknown' = 0, 'requirements' = 1, 'writing' = 2, 'testing' = 3, 'packaging' = 4, 'release' = 5, 'deployment' = 6, 'operation' = 7, 'monitoring' = 8)", "class", "phase of the life cycle that it belongs to"},
	{"team", "Team", "Enum8('none' = 0, 'dev' = 1, 'sec' = 2, 'ops' = 3, 'mon' = 4)", "class", "team that owns what it happened to"},
	{"source", "Source", "LowCardinality(String)", "class", "name of the format that it was read from, as `tocsin sources` lists them"},
	{"event_type", "Type", "LowCardinality(String)", "class", "what happened, in the words of CDEvents first and ours after: subject.predicate"},
	{"class_uid", "Class", "UInt16", "class", "OCSF 1.8 class, 0 where OCSF has none"},
	{"severity_id", "Severity", "UInt8", "class", "OCSF severity: 0 unknown, 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal"},
	{"outcome", "Outcome", "Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'error' = 3, 'cancel' = 4, 'skipped' = 5)", "class", "how it ended"},
	{"disposition_id", "Disposition", "UInt8", "class", "OCSF disposition: 1 allowed, 2 blocked, 3 quarantined, 8 approved, 10 exonerated, 11 corrected, 12 partially corrected, 13 uncorrected, 15 detected, 17 logged, 24 access revoked, 25 rejected, 26 unauthorized"},
	{"title", "Title", "String", "class", "one line for people"},

	{"project", "Project", "LowCardinality(String)", "context", "project that it belongs to"},
	{"environment", "Environment", "LowCardinality(String)", "context", "production, staging, sec-playground ..."},
	{"service", "Service", "LowCardinality(String)", "context", "service concerned"},

	{"repo", "Repo", "LowCardinality(String)", "code", "host/org/name in lower case, no scheme, no .git"},
	{"ref", "Ref", "String", "code", "branch or tag, without refs/heads/ or refs/tags/"},
	{"commit_sha", "Commit", "String", "code", "40 or 64 lower-case hex digits"},
	{"change_id", "Change", "String", "code", "pull or merge request: repo!number"},

	{"pipeline", "Pipeline", "LowCardinality(String)", "pipeline", "name of the CI pipeline, job or workflow, or of the test suite"},
	{"run_id", "Run", "String", "pipeline", "one run of it: system/job/number"},
	{"task", "Task", "LowCardinality(String)", "pipeline", "step within the run, or the test case"},

	{"artifact", "Artifact", "LowCardinality(String)", "artifact", "name of the artifact, image or file"},
	{"artifact_digest", "Digest", "String", "artifact", "sha256:... ; a tag is never an identity"},
	{"purl", "Purl", "String", "artifact", "package URL of the component, without qualifiers"},

	{"rule_id", "Rule", "LowCardinality(String)", "finding", "the tool's own rule, check or signature"},
	{"vuln_ids", "Vulns", "Array(String)", "finding", "CVE, GHSA and other ids of the vulnerability, CVE first"},
	{"finding_key", "FindingKey", "UInt64", "finding", "the same finding over runs, tools' versions and commits has the same key; 0 where it is no finding"},

	{"actor", "Actor", "LowCardinality(String)", "actors", "user, robot or account that acted"},
	{"host", "Host", "LowCardinality(String)", "actors", "host concerned: FQDN in lower case"},
	{"src_ip", "SrcIP", "IPv6", "actors", "address that it came from; IPv4 mapped"},
	{"dst_ip", "DstIP", "IPv6", "actors", "address that it went to; IPv4 mapped"},
	{"dst_domain", "DstDomain", "LowCardinality(String)", "actors", "domain that it went to or asked for"},
	{"net_scope", "NetScope", "Enum8('none' = 0, 'private' = 1, 'ingress' = 2, 'egress' = 3, 'external' = 4)", "actors", "which border the traffic crosses"},
	{"bytes", "Bytes", "UInt64", "actors", "bytes moved, both ways"},

	{"db_name", "DBName", "LowCardinality(String)", "data store", "database"},
	{"db_object", "DBObject", "LowCardinality(String)", "data store", "schema.table, or what else it is about in the database"},

	{"metric_name", "Metric", "LowCardinality(String)", "measure", "name of the metric"},
	{"metric_value", "Value", "Float64", "measure", "its value, in the unit that its name ends in"},

	{"campaign_id", "Campaign", "LowCardinality(String)", "threat", "attack campaign that it is attributed to; for security's eyes"},
	{"attack_ids", "Attacks", "Array(String)", "threat", "MITRE ATT&CK technique ids"},
	{"labels", "Labels", "Array(String)", "threat", "chaos:<id>, maintenance:<id>, sec-routine, playground, simulated, flaky, first-seen, clock-skew"},

	{"attributes", "Attrs", "Map(LowCardinality(String), String)", "rest", "what else the source said, under OpenTelemetry's names where there are any"},
	{"raw", "Raw", "String", "rest", "the record, or the part of it that this event is from, redacted"},

	{"kafka_topic", "Topic", "LowCardinality(String)", "coordinates", "topic of the record"},
	{"kafka_partition", "Partition", "Int32", "coordinates", "partition of the record"},
	{"kafka_offset", "Offset", "Int64", "coordinates", "offset of the record"},
}

// The words of the enumerations, each at the index of its number.
var (
	Phases    = []string{"unknown", "requirements", "writing", "testing", "packaging", "release", "deployment", "operation", "monitoring"}
	Teams     = []string{"none", "dev", "sec", "ops", "mon"}
	Outcomes  = []string{"unknown", "success", "failure", "error", "cancel", "skipped"}
	NetScopes = []string{"none", "private", "ingress", "egress", "external"}
)
