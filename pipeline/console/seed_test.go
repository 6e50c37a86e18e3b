package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

// seed fills the warehouse with an hour that ends now: normal life in all phases, and within it a leaked key, a rejected
// commit that reaches production, a login flood that makes a table grow exponentially, and what was said about it. It is
// a small likeness of the demo, so that every panel has something to show.
func seed(t testing.TB, db *clickhouse.DB, now time.Time) {
	t.Helper()
	s := seeder{t: t, db: db, start: now.Add(-time.Hour).Truncate(time.Second)}
	s.noise()
	s.life()
	s.attack()
	s.growth()
	s.alerts()
	s.rest()
}

type seeder struct {
	t     testing.TB
	db    *clickhouse.DB
	start time.Time
	next  int // offset of the next row
}

// rows inserts n rows whose columns are SQL over `number`; `minute` says when, in minutes since the start. Columns and
// expressions alternate.
func (s *seeder) rows(n int, minute string, columns ...string) {
	s.t.Helper()
	var names, values strings.Builder
	for i := 0; i < len(columns); i += 2 {
		fmt.Fprintf(&names, ", %s", columns[i])
		fmt.Fprintf(&values, ", %s", columns[i+1])
	}
	s.exec(fmt.Sprintf(`INSERT INTO events (event_id, event_time, ingest_time, kafka_topic, kafka_partition, kafka_offset%s)
		SELECT generateUUIDv4(number), %s AS t, t + toIntervalMillisecond(40 + number %% 300), 'raw', 0, %d + number%s FROM numbers(%d)`,
		names.String(), s.at(minute), s.next, values.String(), n))
	s.next += n
}

// at is the SQL of a time, from the SQL of minutes since the start.
func (s *seeder) at(minute string) string {
	return fmt.Sprintf("fromUnixTimestamp64Milli(toInt64(%d + 60000 * (%s)))", s.start.UnixMilli(), minute)
}

func (s *seeder) exec(sql string) {
	s.t.Helper()
	if err := s.db.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
}

// pick is the SQL of one of the words, by a number.
func pick(by string, words ...string) string {
	return fmt.Sprintf("['%s'][1 + (%s) %% %d]", strings.Join(words, "', '"), by, len(words))
}

const (
	pay    = "'git.example/acme/pay'"
	sha    = "lower(hex(SHA1(toString(number %% 40))))"
	digest = "concat('sha256:', lower(hex(SHA256(toString(number % 7)))))"
)

// noise is normal life in each phase.
func (s *seeder) noise() {
	spread := func(n int) string { return fmt.Sprintf("number * 60 / %d + (cityHash64(number) %% 100) / 100", n) }
	common := []string{"project", pick("cityHash64(number, 1)", "payments", "payments", "payments", "web"), "environment", pick("cityHash64(number, 2)", "production", "production", "staging")}
	add := func(n int, columns ...string) { s.rows(n, spread(n+n/60), append(columns, common...)...) }
	add(60, "phase", "'requirements'", "team", "'sec'", "source", "'sarif'", "event_type", pick("number", "vulnerability.found", "compliance.checked", "threatmodel.updated"),
		"severity_id", "1 + number % 3", "rule_id", "'iac-open-group'", "title", "'security group is open to the world'")
	add(240, "phase", "'writing'", "team", "'dev'", "source", "'github'", "event_type", pick("number", "branch.push", "change.created", "change.updated", "change.reviewed"),
		"outcome", "'success'", "severity_id", "1", "actor", pick("number", "alice", "bob", "carol", "dave"), "repo", pick("number", "git.example/acme/pay", "git.example/acme/web", "git.example/acme/lib"),
		"commit_sha", "lower(hex(SHA1(toString(number % 40))))", "change_id", "concat('git.example/acme/pay!', toString(30 + number % 12))", "title", "'work on the payment form'",
		"attributes", "if(number % 9 = 0, map('reformulated', 'true'), map())")
	add(2400, "phase", "'testing'", "team", "'dev'", "source", "'junit'", "event_type", "'testcaserun.finished'", "severity_id", "1", "outcome", "if(number % 31 = 0, 'failure', 'success')",
		"pipeline", pick("number", "unit", "ui", "sec-authz"), "run_id", "concat('jenkins/pay/', toString(800 + intDiv(number, 200)))", "task", "concat('case ', toString(number % 214))",
		"labels", "arrayConcat(if(number % 3 = 2, ['sec-routine'], []), if(number % 62 = 0, ['flaky'], []))", "repo", pay, "metric_value", "0.01 + (number % 50) / 10", "metric_name", "'duration_seconds'")
	add(180, "phase", "'packaging'", "team", "'dev'", "source", pick("number", "jenkins", "docker-bench", "bundler-audit"), "event_type", pick("number", "build.finished", "compliance.checked", "component.added"),
		"severity_id", "1 + number % 2", "outcome", "if(number % 23 = 0, 'failure', 'success')", "artifact", "'pay-api'", "artifact_digest", digest, "purl", "concat('pkg:gem/lib', toString(number % 12), '@1.', toString(number % 4))",
		"metric_name", "if(number % 3 = 1, 'score', '')", "metric_value", "if(number % 3 = 1, 60 + number / 10, 0)", "rule_id", "if(number % 3 = 1, concat('5.', toString(number % 9)), '')", "host", pick("number", "ci-1", "ci-2", "ci-3"))
	add(60, "phase", "'release'", "team", "'dev'", "source", "'harbor'", "event_type", pick("number", "artifact.published", "artifact.signed", "artifact.downloaded"), "severity_id", "1", "outcome", "'success'",
		"artifact", "'pay-api'", "artifact_digest", digest, "actor", "'ci-bot'", "src_ip", "toIPv6(concat('::ffff:10.0.0.', toString(number % 20)))", "dst_domain", "'registry.example'", "bytes", "20000000 + number * 1000", "net_scope", "'private'")
	add(12, "phase", "'deployment'", "team", "'ops'", "source", "'argocd'", "event_type", pick("number", "service.deployed", "service.upgraded", "environment.modified"), "severity_id", "1", "outcome", "if(number % 17 = 5, 'failure', 'success')",
		"service", pick("intDiv(number, 3)", "pay-api", "web"), "artifact_digest", digest, "commit_sha", "lower(hex(SHA1(toString(number % 40))))", "actor", "'argo'")
	add(3000, "phase", "'operation'", "team", "'ops'", "source", pick("number", "nginx", "suricata", "sshd"), "event_type", pick("number", "http.request", "net.flow", "auth.success"), "severity_id", "1", "outcome", "if(number % 97 = 0, 'failure', 'success')",
		"host", pick("number", "web-1", "web-2"), "src_ip", "toIPv6(concat('::ffff:192.0.2.', toString(number % 200)))", "dst_ip", "toIPv6('::ffff:10.0.1.5')", "bytes", "500 + cityHash64(number) % 40000",
		"net_scope", pick("number", "ingress", "egress", "private"), "dst_domain", pick("number", "", "api.bank.example", ""), "actor", "if(number % 3 = 2, 'deploy', '')")
	add(600, "phase", "'monitoring'", "team", "'mon'", "source", "'pandora'", "event_type", pick("number", "metric", "heartbeat"), "severity_id", "1", "host", pick("number", "web-1", "web-2", "db-1", "ci-1"),
		"metric_name", "if(number % 2 = 0, 'cpu_load_percent', '')", "metric_value", "if(number % 2 = 0, 20 + number % 30, 0)", "outcome", "'success'")
}

// life is what happens on the way of one change from its writing to its deployment.
func (s *seeder) life() {
	at := func(minute string, columns ...string) {
		s.rows(1, minute, append(columns, "project", "'payments'", "environment", "'production'")...)
	}
	at("32", "phase", "'writing'", "team", "'dev'", "source", "'git-secrets'", "event_type", "'secret.detected'", "severity_id", "4", "outcome", "'failure'", "disposition_id", "2", "actor", "'alice'", "repo", pay, "title", "'a secret was kept out of a commit'", "rule_id", "'aws-key'")
	at("33", "phase", "'writing'", "team", "'dev'", "source", "'gitleaks'", "event_type", "'secret.detected'", "severity_id", "4", "disposition_id", "15", "actor", "'alice'", "repo", pay, "title", "'AWS key in config/prod.yml'", "rule_id", "'aws-access-token'")
	s.rows(3, "33 + number / 4", "phase", "'writing'", "team", "'dev'", "source", "'github'", "event_type", "'approval.closed'", "severity_id", "1", "disposition_id", "if(number = 2, 25, 8)", "actor", pick("number", "bob", "bob", "carol"),
		"repo", pay, "change_id", "concat('git.example/acme/pay!', toString(41 + number))", "title", pick("number", "approved", "approved", "rejected"), "project", "'payments'")
	s.rows(4, "10 + number * 12", "phase", "'writing'", "team", "'dev'", "source", "'github'", "event_type", "'change.merged'", "severity_id", "1", "outcome", "'success'", "actor", "'bob'", "repo", pay,
		"commit_sha", "lower(hex(SHA1(toString(number % 40))))", "project", "'payments'", "title", "'merged'")
	s.rows(8, "30 + number", "phase", "'testing'", "team", "'dev'", "source", "'github'", "event_type", "if(number < 5, 'ticket.created', 'ticket.closed')", "severity_id", "1", "project", "'payments'", "title", "'an issue'", "repo", pay)
	at("31", "phase", "'testing'", "team", "'dev'", "source", "'playwright'", "event_type", "'testoutput.published'", "severity_id", "1", "run_id", "'jenkins/pay/812'", "title", "'report of the payment form'", "attributes", "map('url', 'https://ci.example/812/report')")
	at("36", "phase", "'packaging'", "team", "'dev'", "source", "'bundler-audit'", "event_type", "'vulnerability.found'", "severity_id", "4", "outcome", "'failure'", "purl", "'pkg:gem/rack@2.2.3'", "vuln_ids", "['CVE-2026-1234']", "artifact", "'pay-api'", "artifact_digest", "'sha256:bad'", "title", "'rack 2.2.3 can be made to hang'", "finding_key", "77")
	at("36.5", "phase", "'packaging'", "team", "'sec'", "source", "'dependency-track'", "event_type", "'finding.blocked'", "severity_id", "4", "disposition_id", "2", "purl", "'pkg:gem/rack@2.2.3'", "finding_key", "77", "title", "'rack 2.2.3 is blocked'")
	at("39", "phase", "'release'", "team", "'dev'", "source", "'syft'", "event_type", "'component.added'", "severity_id", "1", "purl", "'pkg:gem/rack@2.2.3'", "artifact", "'pay-api'", "artifact_digest", "'sha256:bad'")
	at("39", "phase", "'release'", "team", "'dev'", "source", "'harbor'", "event_type", "'artifact.published'", "severity_id", "1", "outcome", "'success'", "artifact", "'pay-api'", "artifact_digest", "'sha256:bad'", "actor", "'mallory'", "title", "'pay-api 1.8.0 published'")
	at("40", "phase", "'deployment'", "team", "'ops'", "source", "'argocd'", "event_type", "'service.deployed'", "severity_id", "1", "outcome", "'success'", "service", "'pay-api'", "artifact_digest", "'sha256:bad'", "commit_sha", "lower(hex(SHA1('1')))", "title", "'pay-api 1.8.0 deployed'")
	s.rows(2, "41 + 4 * number", "phase", "'operation'", "team", "'ops'", "source", "'chaos'", "event_type", "if(number = 0, 'chaos.started', 'chaos.finished')", "severity_id", "1", "labels", "['chaos:exp-12']", "host", "'web-2'", "project", "'payments'", "title", "'latency on web-2'")
	at("20", "phase", "'monitoring'", "team", "'mon'", "source", "'pgbackrest'", "event_type", "'backup.finished'", "severity_id", "1", "outcome", "'success'", "host", "'db-1'", "title", "'full backup'")
	at("12", "phase", "'monitoring'", "team", "'mon'", "source", "'postgres'", "event_type", "'replica.status'", "severity_id", "1", "outcome", "'success'", "host", "'db-2'", "metric_name", "'lag_seconds'", "metric_value", "0.4")
	s.rows(9, "31 + number", "phase", "'packaging'", "team", "'ops'", "source", "'iperf3'", "event_type", "'netprobe.finished'", "severity_id", "1", "outcome", "'success'", "host", "'ci-2'", "artifact_digest", digest,
		"metric_name", pick("number", "rtt_seconds", "throughput_bits_per_second", "loss_ratio"), "metric_value", "[0.0004, 9300000000., 0.001][1 + number % 3]", "project", "'payments'")
	at("40.5", "phase", "'operation'", "team", "'ops'", "source", "'auditd'", "event_type", "'net.listen'", "severity_id", "2", "host", "'web-1'", "labels", "['first-seen']", "title", "'port 4444 is open'", "attributes", "map('network.local.port', '4444', 'process.executable.name', 'nc')")
	at("2", "phase", "'requirements'", "team", "'dev'", "source", "'cloudevents'", "event_type", "'service.declared'", "severity_id", "1", "service", "'pay-api'", "attributes", "map('declared.mem', '512Mi')")
	at("41", "phase", "'monitoring'", "team", "'mon'", "source", "'prometheus'", "event_type", "'metric'", "severity_id", "1", "service", "'pay-api'", "metric_name", "'mem'", "metric_value", "943718400")
	s.rows(40, "36 + number / 5", "phase", "'operation'", "team", "'ops'", "source", "'nginx'", "event_type", "'http.request'", "severity_id", "1", "outcome", "'success'", "service", "'pay-api'", "project", "'payments'", "environment", "'production'",
		"attributes", "map('http.duration_ms', toString(20 + number % 9 + if(number > 20, 60, 0)), 'http.response.status_code', '200')")
	at("37", "phase", "'packaging'", "team", "'sec'", "source", "'suricata'", "event_type", "'net.flow'", "severity_id", "3", "host", "'ci-2'", "dst_domain", "'collector.bad.example'", "bytes", "3145728", "net_scope", "'egress'", "labels", "['first-seen']", "run_id", "'jenkins/pay/813'")
}

// attack is a login flood from twelve addresses of a red team and many of a botnet.
func (s *seeder) attack() {
	s.rows(1240, "42 + 13 * sqrt(number / 1240)", "phase", "'operation'", "team", "'sec'", "source", "'sshd'", "event_type", "if(number % 5 = 0, 'attack', 'auth.failed')", "severity_id", "if(number % 5 = 0, 4, 2)",
		"outcome", "'failure'", "actor", pick("number", "root", "admin", "svc_report"), "host", "'db-1'", "db_name", "'pay'", "project", "'payments'", "environment", "'production'",
		"src_ip", "if(number % 3 = 0, toIPv6(concat('::ffff:198.51.100.', toString(number % 150))), toIPv6(concat('::ffff:203.0.113.', toString(1 + intDiv(number, 3) % 12))))",
		"campaign_id", "if(number % 3 = 0, '', 'camp-2026-11-23')", "attack_ids", "if(number % 5 = 0, ['T1499', 'T1110'], ['T1110'])", "net_scope", "'ingress'", "bytes", "900", "title", "'failed login'")
}

// growth is one table under attack, one that grows evenly, and one at rest.
func (s *seeder) growth() {
	s.exec(fmt.Sprintf(`INSERT INTO db_growth (ts, project, host, db_name, db_object, size_bytes, delta_bytes, rate_per_min, doubling_min, minutes_to_full, score, attack_events, state)
		SELECT %s AS t, 'payments', 'db-1', 'pay', 'public.audit_log',
			toUInt64(50e9 + 6e6 * number + if(number > 42, 2e6 * (exp2((number - 42) / 1.4) - 1), 0)) AS size,
			toInt64(6e6 + if(number > 42, 1e6 * exp2((number - 42) / 1.4), 0)),
			if(number > 44, 0.495, 0), if(number > 44, 1.4, 0), if(number > 44, greatest(0.5, 1.4 * log2((80e9 - size) / (toFloat64(size) - 50e9 - 6e6 * number + 1e6) + 1)), 0),
			if(number > 44, 0.9, 0.05), if(number > 42, toUInt64((number - 42) * 90), 0), multiIf(number > 49, 'crit', number > 45, 'warn', number > 43, 'watch', 'ok')
		FROM numbers(57)`, s.at("number + 3")))
	s.exec(fmt.Sprintf(`INSERT INTO db_growth (ts, project, host, db_name, db_object, size_bytes, delta_bytes, score, state)
		SELECT %s, 'payments', 'db-1', ['reports', 'pay'][1 + number %% 2], ['public.fact', 'public.orders'][1 + number %% 2], 12e9 + 20e6 * intDiv(number, 2) * (1 - number %% 2), 20e6 * (1 - number %% 2), 0.05, 'ok'
		FROM numbers(114)`, s.at("intDiv(number, 2) + 3")))
}

// alerts are what the rules said.
func (s *seeder) alerts() {
	var versions []string
	for i, a := range []struct {
		minute                    float64
		team, class, rule, status string
		severity                  int
		title, summary, entities  string
		metrics                   string
	}{
		{33, "sec", "normal", "R20", "firing", 4, "AWS key in the history of pay", "gitleaks found an AWS key that alice pushed past git-secrets; it is not revoked", "map('repo', 'git.example/acme/pay', 'user', 'alice')", "CAST(map(), 'Map(String, Float64)')"},
		{33, "dev", "normal", "R20", "firing", 4, "AWS key in the history of pay", "gitleaks found an AWS key that alice pushed past git-secrets; it is not revoked", "map('repo', 'git.example/acme/pay', 'user', 'alice')", "CAST(map(), 'Map(String, Float64)')"},
		{36, "dev", "sec_requested", "C22", "firing", 3, "security routine missing in run 812", "sec-authz was asked for and did not run", "map('pipeline', 'pay', 'run', 'jenkins/pay/812')", "CAST(map(), 'Map(String, Float64)')"},
		{37, "sec", "normal", "C06", "acked", 5, "runner ci-2 sends 3 MiB to collector.bad.example", "first time that this domain was seen, during run 813", "map('host', 'ci-2', 'domain', 'collector.bad.example')", "map('bytes', 3145728)"},
		{40, "sec", "normal", "C05", "firing", 5, "pay-api 1.8.0 went to production without approval", "the commit of the deployed image was rejected in !43", "map('service', 'pay-api', 'artifact', 'sha256:bad', 'user', 'mallory')", "CAST(map(), 'Map(String, Float64)')"},
		{40, "ops", "normal", "C05", "firing", 3, "pay-api 1.8.0 went to production without approval", "the commit of the deployed image was rejected in !43", "map('service', 'pay-api', 'artifact', 'sha256:bad', 'user', 'mallory')", "CAST(map(), 'Map(String, Float64)')"},
		{43, "ops", "normal", "C11", "firing", 3, "login flood on db-1", "1 240 failed logins in 13 min from 162 addresses", "map('host', 'db-1', 'ip', '203.0.113.7')", "map('attack_events', 1240)"},
		{48, "sec", "normal", "C02", "updated", 5, "pay.audit_log grows exponentially under attack", "increments double every 1.4 min, 1 240 attack events, disk full in minutes", "map('database', 'db-1/pay/public.audit_log', 'host', 'db-1', 'ip', '203.0.113.7')", "map('doubling_min', 1.4, 'minutes_to_full', 5.5, 'attack_events', 1240, 'rate_per_min', 0.495, 'size', 5.1e10)"},
		{48, "ops", "normal", "C02", "updated", 5, "pay.audit_log grows exponentially under attack", "increments double every 1.4 min, 1 240 attack events, disk full in minutes", "map('database', 'db-1/pay/public.audit_log', 'host', 'db-1', 'ip', '203.0.113.7')", "map('doubling_min', 1.4, 'minutes_to_full', 5.5, 'attack_events', 1240, 'rate_per_min', 0.495, 'size', 5.1e10)"},
		{52, "mon", "normal", "C13", "resolved", 5, "db-1 stopped reporting", "no heartbeat for 60 s", "map('host', 'db-1')", "map('silence_seconds', 60)"},
		{44, "ops", "normal", "R50", "suppressed", 3, "5xx on web-2", "40 % of the answers are errors", "map('host', 'web-2')", "map('ratio', 0.4)"},
	} {
		for version, status := range []string{"firing", a.status} {
			versions = append(versions, fmt.Sprintf(`SELECT toUUID('00000000-0000-5000-8000-%012d'), %d, %s, %s, %s, '%s', '%s', '%s', 'team', '%s', 1, %d, 90, [7], '%s', '%s', '%s|payments', 'payments', 'production', %s, %s,
					(SELECT groupArray(20)(event_id) FROM events WHERE severity_id >= 4), 12, %s, '%s', '%s', %d, 'docs/runbooks/%s.md', '/d/tocsin-alerts?var-rule=%s', 'SELECT * FROM tocsin.events WHERE severity_id >= 4'`,
				i+1, version+1, s.at(fmt.Sprint(a.minute+float64(version))), s.at(fmt.Sprint(a.minute-1)), s.at(fmt.Sprint(a.minute+float64(version))), status, a.team, a.class, a.rule, a.severity, a.title, a.summary, a.rule, a.entities, a.metrics,
				map[bool]string{true: "['T1110', 'T1499']", false: "[]"}[a.rule == "C02" || a.rule == "C11"], map[bool]string{true: "camp-2026-11-23"}[a.rule == "C11"],
				map[bool]string{true: "chaos:exp-12"}[status == "suppressed"], 300+40*i, a.rule, a.rule))
		}
	}
	s.exec(`INSERT INTO alerts (alert_id, version, ts, first_event_time, last_event_time, status, team, alert_class, visibility, rule_id, rule_version, severity_id, confidence, phases,
		title, summary, dedup_key, project, environment, entities, metrics, event_ids, event_count, attack_ids, campaign_id, suppressed_by, detect_latency_ms, runbook, dashboard, query)
		` + strings.Join(versions, " UNION ALL "))
}

// rest is what the pipeline says of itself.
func (s *seeder) rest() {
	s.exec(fmt.Sprintf(`INSERT INTO dead_letters (ts, kafka_topic, kafka_partition, kafka_offset, seq, line, stage, source, reason, data)
		SELECT %s, 'raw', 0, number, 0, 1, %s, 'junit', %s, '<testsuite' FROM numbers(12)`, s.at("number * 4"), pick("number", "parse", "parse", "sink"), pick("number", "the XML ends early", "no format is known for this record")))
}
