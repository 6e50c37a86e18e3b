package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Length is the storyline's simulated time.
const Length = 30 * time.Minute

// Begin is when a story begins that ends about now. Rule C14 counts by the hour of the clock, and looks at an hour's first two
// minutes only when they are over: no hour begins around the story's burst of pulls.
func Begin(now time.Time) time.Time {
	origin := now.Add(-Length)
	if m := origin.Add(at(18, 30)).Minute(); m >= 56 || m <= 2 {
		origin = origin.Add(-10 * time.Minute)
	}
	return origin
}

// The raw topics that the storyline writes.
const (
	TopicForge   = "raw.forge"   // what developers and their forge do
	TopicCI      = "raw.ci"      // builds, tests, scans, packages
	TopicRuntime = "raw.runtime" // hosts, networks, databases
	TopicMonitor = "raw.monitor" // metrics and monitoring
	TopicPeople  = "raw.people"  // what people tell the system
)

// Topics lists them.
func Topics() []string { return []string{TopicForge, TopicCI, TopicRuntime, TopicMonitor, TopicPeople} }

// Record is one record of the storyline.
type Record struct {
	At      time.Duration // since the storyline's start
	Topic   string
	Key     string
	Value   string
	Headers map[string]string
	// Says is what the storyteller prints when the record is sent; empty for the noise of every day.
	Says string
}

// Secret is what alice commits by mistake, the secret of the key keyID. It must not be found in anything that tocsin writes.
const (
	Secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYDEMOPAYKEY07"
	keyID  = "AKIA4PAYMENTSDEMO7QX"
)

// Cast of the storyline.
const (
	repoURL     = "https://git.example/acme/pay"
	repoName    = "acme/pay"
	mallorySHA  = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	goodSHA     = "7d865e959b2466918c9863afca942d0fb89d7c9a"
	badDigest   = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	goodDigest  = "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
	rack        = "pkg:gem/rack@2.2.3"
	rackFixed   = "pkg:gem/rack@2.2.8.1"
	diskBytes   = 80 << 30
	auditBytes  = 50 << 30
	attackStart = 12 * time.Minute
	attackEnd   = 22 * time.Minute
)

// story collects the records.
type story struct {
	origin  time.Time
	rng     *rand.Rand
	records []Record
}

// Story returns the records of the whole storyline in the order of their times. The same origin, seed and rate give the
// same records. rate is the noise of every day, in records a simulated second.
func Story(origin time.Time, seed uint64, rate int) []Record {
	s := &story{origin: origin.UTC().Truncate(time.Second), rng: rand.New(rand.NewPCG(seed, 0))}
	s.before()
	s.requirements()
	s.writing()
	s.testing()
	s.packaging()
	s.release()
	s.deployment()
	s.attack()
	s.databases()
	s.agents()
	s.aftermath()
	s.habits()
	s.neglect()
	s.intruder()
	s.lessons()
	s.noise(rate)
	slices.SortStableFunc(s.records, func(a, b Record) int { return int(a.At - b.At) })
	return s.records
}

// at is a moment of the storyline, minutes and seconds.
func at(minutes, seconds int) time.Duration {
	return time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
}

// time is that moment on the clock.
func (s *story) time(t time.Duration) time.Time { return s.origin.Add(t) }

func (s *story) add(t time.Duration, topic, key, says, value string, headers ...string) {
	r := Record{At: t, Topic: topic, Key: key, Value: value, Says: says, Headers: map[string]string{"tocsin_project": "payments"}}
	for i := 0; i < len(headers); i += 2 {
		r.Headers[headers[i]] = headers[i+1]
	}
	s.records = append(s.records, r)
}

func (s *story) requirements() {
	for i, tool := range []string{"go1.26", "trivy", "linux/amd64", "windows/amd64", "darwin/arm64"} {
		says := ""
		if i == 0 {
			says = "requirements  the project declares its tools and platforms; the threat model has 3 of 4 answers"
		}
		s.own(at(0, i), "inventory.declared", says, "artifact", tool, "title", "planned: "+tool)
	}
	s.own(at(0, 0), "threatmodel.updated", "", "service", "pay-api", "repo", "git.example/acme/pay", "metric_name", "completeness", "metric_value", "0.75", "title", "threat model of pay-api: 3 of 4 questions answered")
	s.own(at(0, 6), "service.declared", "", "service", "pay-api", "title", "pay-api wants 512Mi", "attributes.declared.mem", "512Mi")
	s.own(at(0, 7), "training.completed", "", "actor", "alice", "title", "secure coding")
	for i, what := range []string{"session fixation in login", "verbose errors on /refund", "weak TLS on the admin port"} {
		s.own(at(0, 10+i), "vulnerability.found", "", "title", what, "rule_id", fmt.Sprintf("pentest-%d", i+1), "severity_id", "3", "phase", "requirements", "service", "pay-api", "attributes.method", "pentest")
	}
	s.add(at(0, 20), TopicCI, "iac", "", iacSARIF)
	for i, policy := range []string{"security registers routine sec-authz for billing", "security asks for alerts of C04 and C22", "suite redline-* is not to be watched"} {
		says := ""
		if i == 0 {
			says = "requirements  security registers its routines and asks for alerts (SEC-77)"
		}
		fields := []string{"title", policy, "actor", "sec:maria", "attributes.ticket", "SEC-77"}
		if i == 0 {
			fields = append(fields, "attributes.routine", "sec-authz")
		}
		s.own(at(1, i), "policy.changed", says, fields...)
	}
}

func (s *story) writing() {
	s.add(at(2, 0), TopicCI, "alice", "writing       alice's commit holds an AWS key: git-secrets blocks it, git-hound sees it in CI",
		"config/prod.env:3:AWS_ACCESS_KEY_ID="+keyID+"\nconfig/prod.env:4:AWS_SECRET_ACCESS_KEY="+Secret+"\n\n[ERROR] Matched one or more prohibited patterns\n\nPossible mitigations:\n"+
			"- Mark false positives as allowed using: git config --add secrets.allowed ...\n",
		"tocsin_actor", "alice", "tocsin_repo", "git.example/acme/pay")
	s.add(at(2, 20), TopicCI, "alice",
		"", "failure: pattern `(A3T[A-Z0-9]|AKIA|ASIA)[A-Z0-9]{16}` match found for `AWS_ACCESS_KEY_ID="+keyID+"` starting at line 3 in config/prod.env\n"+
			"failure: pattern `(?i)(secret|token)\\w*\\W*[:=,]\\W*.+$` match found for `AWS_SECRET_ACCESS_KEY="+Secret+"` starting at line 4 in config/prod.env\n"+
			"2 severe smell(s) detected - please fix them before you can commit\n",
		"tocsin_actor", "alice", "tocsin_repo", "git.example/acme/pay")
	s.push(at(2, 40), "alice", "main", s.sha(), s.sha(), false, "")

	s.pull(at(3, 0), "opened", 41, "bob", s.sha(), false, "")
	s.review(at(3, 10), 41, "bob", "approved", s.sha())
	s.pull(at(3, 12), "closed", 41, "bob", s.sha(), true, "")
	s.pull(at(3, 15), "opened", 42, "carol", s.sha(), false, "")
	s.review(at(3, 20), 42, "carol", "changes_requested", s.sha())
	s.pull(at(3, 30), "synchronize", 42, "carol", s.sha(), false, "")
	s.review(at(3, 40), 42, "carol", "approved", s.sha())
	s.pull(at(3, 45), "opened", 43, "mallory", mallorySHA, false, "")
	s.review(at(3, 50), 43, "mallory", "changes_requested", mallorySHA)
	s.pull(at(3, 55), "closed", 43, "mallory", mallorySHA, false, "writing       change 41 is approved, 42 reformulated and approved, 43 by mallory rejected")
}

func (s *story) testing() {
	s.jenkins(at(4, 0), "pay-build", 812, "UNSTABLE", "testing       Jenkins run 812: 214 unit tests, 1 failed and 2 flaky; security's routine sec-authz is missing")
	s.add(at(4, 5), TopicCI, "812", "", junitSuite("pay-unit", s.time(at(4, 5)), 214, 1, 2), "tocsin_run_id", "jenkins/pay-build/812")
	s.add(at(4, 10), TopicCI, "812", "", junitSuite("pay-ui", s.time(at(4, 10)), 12, 0, 0), "tocsin_run_id", "jenkins/pay-build/812")
	s.own(at(4, 30), "testsuiterun.finished", "", "pipeline", "checkout by hand", "outcome", "success", "actor", "tina", "title", "checkout by hand", "attributes.test.trigger", "manual")
	for i := range 5 {
		s.issue(at(5, 2*i), "opened", 100+i)
	}
	for i := range 3 {
		s.issue(at(5, 30+2*i), "closed", 90+i)
	}
}

func (s *story) packaging() {
	s.add(at(6, 0), TopicCI, "813", "packaging     bundler-audit finds rack 2.2.3 vulnerable; security blocks it", bundlerAudit(s.time(at(6, 0))), "tocsin_run_id", "jenkins/pay-build/813")
	s.add(at(6, 5), TopicCI, "813", "", dockerBench(s.time(at(6, 5))), "tocsin_host", "ci-2")
	s.own(at(6, 30), "finding.blocked", "", "phase", "packaging", "purl", rack, "severity_id", "4", "title", "rack 2.2.3 is blocked (CVE-2022-30122)", "vuln_ids", "CVE-2022-30122", "actor", "sec:maria")
	s.probe(at(6, 40), "", "", 0.4)
	s.jenkins(at(6, 50), "pay-package", 813, "SUCCESS", "")
	s.suricata(at(7, 0), "packaging     runner ci-2 sends 3 MiB to collector.bad.example", `"event_type":"dns","src_ip":"10.0.0.22","src_port":40000,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","host":"ci-2","dns":{"type":"query","rrname":"collector.bad.example","rrtype":"A"}`, runner...)
	s.suricata(at(7, 2), "", `"event_type":"flow","src_ip":"10.0.0.22","src_port":40001,"dest_ip":"203.0.113.44","dest_port":443,"proto":"TCP","app_proto":"tls","host":"ci-2","flow":{"pkts_toserver":2200,"pkts_toclient":1100,"bytes_toserver":3145728,"bytes_toclient":4096,"state":"closed"}`, runner...)
	s.push(at(8, 0), "mallory", "main", s.sha(), mallorySHA, true, "writing       the rejected commit of change 43 is force-pushed to main with an admin's token")
}

func (s *story) release() {
	s.cdevent(at(8, 50), "artifact.packaged.0.2.0", "", "pkg:oci/pay-api@"+badDigest, `"change":{"id":"`+mallorySHA+`","source":"`+repoURL+`"}`)
	s.add(at(9, 0), TopicCI, "pay-api", "release       pay-api 1.8.0 is published with rack 2.2.3, unsigned, by mallory", sbom(s.time(at(9, 0)), "1.8.0", badDigest, "2.2.3"),
		"tocsin_artifact_digest", badDigest, "tocsin_phase", "release")
	s.cdevent(at(9, 5), "artifact.published.0.2.0", "", "pkg:oci/pay-api@"+badDigest, `"user":"mallory"`)
}

func (s *story) deployment() {
	s.cdevent(at(10, 0), "service.deployed.0.2.0", "deployment    1.8.0 is deployed to production", "pay-api", `"environment":{"id":"production","source":"/argo"},"artifactId":"pkg:oci/pay-api@`+badDigest+`"`, "tocsin_commit_sha", mallorySHA)
	s.suricata(at(10, 30), "", `"event_type":"dns","src_ip":"10.0.1.11","src_port":40010,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","host":"web-1","dns":{"type":"query","rrname":"telemetry.unknown.example","rrtype":"A"}`, service...)
	s.own(at(10, 45), "metric", "", "service", "pay-api", "metric_name", "mem", "metric_value", "943718400", "phase", "operation", "title", "pay-api uses 900Mi")
	s.own(at(11, 0), "chaos.started", "operation     chaos experiment exp-12 begins on web-2", "title", "exp-12: latency on web-2", "host", "web-2", "labels", "chaos:exp-12")
	for i := range 120 {
		s.access(at(13, 0)+time.Duration(i)*500*time.Millisecond, "web-1", 200+i%4/2*302) // every other one fails
	}
	s.own(at(15, 0), "chaos.finished", "", "title", "exp-12: latency on web-2", "host", "web-2", "labels", "chaos:exp-12")
}

// attack is the red team's and the botnet's: a login flood on the database host, a leaked key, a stolen account.
func (s *story) attack() {
	says := "operation     12 red-team and 150 botnet addresses flood db-1's login; audit_log begins to grow"
	users := []string{"root", "admin", "postgres", "pay", "deploy", "backup"}
	for t := attackStart; t < attackEnd; t += 250 * time.Millisecond {
		ip := fmt.Sprintf("203.0.113.%d", 1+s.rng.IntN(12))
		if s.rng.IntN(4) > 0 {
			n := s.rng.IntN(150)
			ip = fmt.Sprintf("240.%d.%d.%d", n%40, n/40, 1+n) // reserved addresses in forty networks
		}
		s.sshd(t, "db-1", says, "Failed password for invalid user %s from %s port %d ssh2", users[s.rng.IntN(len(users))], ip, 1024+s.rng.IntN(60000))
		says = ""
	}
	s.add(at(16, 0), TopicRuntime, "aws", "operation     the leaked AWS key is used from 203.0.113.9", fmt.Sprintf(
		`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::123456789012:user/pay-deploy","accountId":"123456789012","accessKeyId":"%s","userName":"pay-deploy"},"eventTime":"%s","eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2.15.0","requestParameters":null,"responseElements":null,"requestID":"7c9e6679-7425-40de-944b-e07fc1f90ae7","eventID":"0f8fad5b-d9cb-469f-a165-70867728950e","readOnly":true,"eventType":"AwsApiCall","recipientAccountId":"123456789012"}`,
		keyID, s.time(at(16, 0)).Format(time.RFC3339)))
	for i := range 30 {
		s.sshd(at(16, 30)+time.Duration(i)*time.Second, "db-1", "", "Failed password for %s from %s port %d ssh2", "svc_report", "203.0.113.7", 50000+i)
	}
	s.sshd(at(17, 5), "db-1", "operation     svc_report's password is guessed", "Accepted password for %s from %s port %d ssh2", "svc_report", "203.0.113.7", 50100)
}

// databases are sampled every ten seconds, as postgres_exporter is scraped.
func (s *story) databases() {
	type table struct {
		db, name string
		size     float64
		rate     func(t time.Duration) float64 // bytes a second
	}
	mib := float64(1 << 20)
	tables := []*table{
		{"pay", "audit_log", auditBytes, func(t time.Duration) float64 {
			rate := 6 * mib / 60
			if t >= attackStart && t < attackEnd {
				rate *= math.Exp2((t - attackStart).Minutes()) // increments double each minute
			}
			return rate
		}},
		{"pay", "orders", 12 << 30, func(time.Duration) float64 { return 2 * mib / 60 }},
		{"reports", "fact", 20 << 30, func(t time.Duration) float64 { // bulk load, announced as maintenance
			if t >= at(12, 30) && t < at(22, 30) {
				return 20 * mib
			}
			return mib / 60
		}},
		{"logs", "http", 4 << 30, func(time.Duration) float64 { return 2 * mib }}, // grows fast, but in a line
	}
	s.own(at(12, 25), "policy.changed", "operation     maintenance: bulk load into reports.fact (a control: no alert may come of it)", "title", "maintenance window for the bulk load of reports", "labels", "maintenance:bulk-7", "actor", "ops:jim")
	step := 10 * time.Second
	for t := time.Duration(0); t < Length; t += step {
		var b strings.Builder
		b.WriteString("# HELP pg_stat_user_tables_size_bytes Total size of the table, indexes and TOAST included\n# TYPE pg_stat_user_tables_size_bytes gauge\n")
		for _, tb := range tables {
			tb.size += tb.rate(t) * step.Seconds() * (0.85 + 0.3*s.rng.Float64())
			if tb.name == "audit_log" && t == attackEnd {
				tb.size = auditBytes // operations truncates the partition of today
			}
			fmt.Fprintf(&b, "pg_stat_user_tables_size_bytes{instance=\"db-1:9187\",datname=%q,schemaname=\"public\",relname=%q} %.0f %d\n", tb.db, tb.name, tb.size, s.time(t).UnixMilli())
		}
		s.add(t, TopicMonitor, "db-1", "", b.String(), "tocsin_attributes.capacity_bytes", fmt.Sprint(diskBytes), "tocsin_environment", "production")
	}
}

// agents of Pandora FMS report four times a minute; the one on db-1 falls silent when the attacker kills it.
func (s *story) agents() {
	for t := 5 * time.Second; t < Length; t += 15 * time.Second {
		for _, host := range []string{"db-1", "web-1", "web-2", "ci-2"} {
			if host == "db-1" && t > at(19, 0) && t < at(26, 0) {
				continue
			}
			s.add(t, TopicMonitor, host, "", pandora(host, s.time(t), 20+s.rng.IntN(30), s.rng.Float64()*4))
		}
	}
}

func (s *story) aftermath() {
	s.own(at(22, 0), "policy.changed", "operation     operations blocks the addresses, truncates the partition, grows the disk", "title", "203.0.113.0/28 and the botnet are blocked", "actor", "ops:jim")
	s.own(at(24, 0), "finding.corrected", "release       rack is mended in 1.8.1, published and deployed", "phase", "release", "purl", rackFixed, "attributes.fixed_version", "2.2.8.1", "title", "rack is mended in 2.2.8.1", "vuln_ids", "CVE-2022-30122")
	s.pull(at(22, 30), "opened", 44, "carol", goodSHA, false, "")
	s.review(at(22, 50), 44, "carol", "approved", goodSHA)
	s.pull(at(22, 55), "closed", 44, "carol", goodSHA, true, "")
	s.own(at(23, 30), "testsuiterun.finished", "", "pipeline", "sec-authz", "outcome", "success", "labels", "sec-routine", "commit_sha", goodSHA, "title", "sec-authz passed")
	s.add(at(24, 10), TopicCI, "pay-api", "", sbom(s.time(at(24, 10)), "1.8.1", goodDigest, "2.2.8.1"), "tocsin_artifact_digest", goodDigest, "tocsin_phase", "release")
	s.cdevent(at(24, 5), "artifact.packaged.0.2.0", "", "pkg:oci/pay-api@"+goodDigest, `"user":"ci-bot"`)
	s.cdevent(at(24, 15), "artifact.signed.0.2.0", "", "pkg:oci/pay-api@"+goodDigest, `"signature":"MEUCIQ"`)
	s.cdevent(at(24, 20), "artifact.published.0.2.0", "", "pkg:oci/pay-api@"+goodDigest, `"user":"ci-bot"`)
	s.cdevent(at(24, 30), "service.deployed.0.2.0", "", "pay-api", `"environment":{"id":"production","source":"/argo"},"artifactId":"pkg:oci/pay-api@`+goodDigest+`"`, "tocsin_commit_sha", goodSHA)
	s.own(at(29, 0), "backup.finished", "monitoring    backup of the monitoring data is verified", "outcome", "success", "service", "tocsin", "title", "backup of tocsin verified")
}
