package demo

import (
	"fmt"
	"time"
)

// hastyChange is approved at a glance, large as it is.
const hastyChange = 45

// toolsDigest is an image that no pipeline has built.
const toolsDigest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

// before is what happened before the story begins: a month ago, a day ago and in the night.
func (s *story) before() {
	s.own(-30*24*time.Hour+at(14, 0), "testsuiterun.finished", "", "project", "billing", "pipeline", "invoices by hand", "outcome", "success", "actor", "tina", "title", "invoices by hand", "attributes.test.trigger", "manual")
	s.own(-24*time.Hour+at(14, 0), "heartbeat", "", "host", "db-1", "title", "the agent on db-1 runs")
	s.own(-24*time.Hour+at(15, 0), "backup.finished", "", "outcome", "success", "service", "tocsin", "title", "backup of tocsin verified")
	for t := -14 * time.Hour; t < -80*time.Minute; t += 30 * time.Minute {
		s.add(t, TopicCI, "ledger", "", fmt.Sprintf("    encrypted: secrets/%s.key\n", s.time(t).Format("15-04")), "tocsin_repo", "git.example/acme/ledger")
	}
}

// staleDigest is an image that is built of an old lock file, and never released.
const staleDigest = "sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"

// habits are what a build machine and a service do all the time: what is new is told from it.
func (s *story) habits() {
	for t := at(1, 30); t < at(6, 45); t += 30 * time.Second {
		s.suricata(t, "", `"event_type":"flow","src_ip":"10.0.0.22","src_port":40100,"dest_ip":"198.51.100.20","dest_port":443,"proto":"TCP","app_proto":"tls","host":"ci-2","flow":{"pkts_toserver":200,"pkts_toclient":900,"bytes_toserver":40000,"bytes_toclient":900000,"state":"closed"}`, runner...)
	}
	for i, port := range []string{"443", "5005"} {
		s.own(at(1+i*10, 5), "net.listen", "", "environment", "production", "service", "pay-api", "host", "web-1", "attributes.server.port", port, "title", "web-1 listens on "+port+"/tcp")
	}
	for t := at(1, 0); t < at(28, 0); t += time.Minute {
		s.suricata(t, "", `"event_type":"dns","src_ip":"10.0.1.11","src_port":40010,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","host":"web-1","dns":{"type":"query","rrname":"db-1.internal.example","rrtype":"A"}`, service...)
	}
	for i := range 10 {
		s.probe(at(1, 40)+time.Duration(i)*25*time.Second, "", "", 0.38+0.02*float64(i%3))
	}
	s.probe(at(8, 52), "packaging     1.8.0 reaches the registry ten times slower than the builds before", badDigest, 4.1)
	for i := range 5 {
		s.harborPull(at(4, 30)+time.Duration(i)*time.Second, "robot$ci", i, "")
	}
}

// probe is how long a round trip to the registry takes while a build is packaged.
func (s *story) probe(t time.Duration, says, digest string, rtt float64) {
	s.own(t, "netprobe.finished", says, "metric_name", "net.rtt_ms", "metric_value", fmt.Sprintf("%.2f", rtt), "host", "ci-2", "phase", "packaging",
		"artifact", "pay-api", "artifact_digest", digest, "title", fmt.Sprintf("ci-2 to registry: rtt %.2f ms", rtt))
}

// What a sensor's records are completed with by those who send them.
var (
	runner  = []string{"tocsin_run_id", "jenkins/pay-package/813", "tocsin_pipeline", "pay-package"}
	service = []string{"tocsin_service", "pay-api", "tocsin_environment", "production"}
)

// neglect is what nobody meant, and somebody should see.
func (s *story) neglect() {
	s.own(at(2, 30), "inventory.observed", "writing       a build used go1.24, which nobody declared", "artifact", "go1.24", "title", "pay-build compiled with go1.24")
	s.own(at(2, 31), "inventory.observed", "", "artifact", "trivy", "title", "pay-build scanned with trivy")
	s.pull(at(3, 58), "opened", hastyChange, "dave", s.sha(), false, "writing       change 45 adds 900 lines and is approved within 20 seconds")
	s.review(at(4, 18), hastyChange, "dave", "approved", s.sha())
	s.own(at(5, 0), "chaos.started", "", "title", "exp-13: cpu on web-3", "host", "web-3", "labels", "chaos:exp-13")
	s.own(at(4, 40), "branch.push", "writing       acme/ledger is written without a threat model, and its hook of git-crypt says nothing any more", "repo", "git.example/acme/ledger", "ref", "main", "actor", "erin", "commit_sha", s.sha(), "title", "erin pushed to main")
	s.own(at(7, 10), "artifact.packaged", "packaging     pay-cli is built for a platform that nobody planned", "artifact", "pay-cli", "actor", "ci-bot", "title", "pay-cli for plan9/amd64", "attributes.artifact.platform", "plan9/amd64")
	for i := range 10 {
		s.own(at(i, 50), "heartbeat", "", "host", "mon-2", "service", "tocsin", "title", "tocsin on mon-2 runs")
	}
	for i, typ := range []string{"alert.firing", "alert.resolved"} {
		s.own(at(20+i, 30), typ, []string{"monitoring    of two tocsins one falls silent, and the other is behind", ""}[i], "host", "mon-1", "service", "tocsin", "rule_id", "tocsin lag", "severity_id", "5", "title", "tocsin mon-1: lag", "attributes.reason", "partition 2 is 11 minutes behind")
	}
	for i := range 3 {
		t := at(6, 10) + time.Duration(i)*time.Minute
		s.add(t, TopicCI, "billing", "", skippedSuite(s.time(t)), "tocsin_project", "billing", "tocsin_labels", "sec-routine", "tocsin_run_id", fmt.Sprintf("jenkins/billing/%d", 40+i))
	}
}

// lessons is what comes of it all.
func (s *story) lessons() {
	s.add(at(24, 4), TopicCI, "pay-api", "packaging     the first build of 1.8.1 has rack 2.2.7, of a lock file that was not renewed", sbom(s.time(at(24, 4)), "1.8.1-rc1", staleDigest, "2.2.7"), "tocsin_artifact_digest", staleDigest)
	s.own(at(26, 0), "recommendation.created", "operation     operations recommends more memory for pay-api; a host that nobody knows asks for a name", "team", "ops", "service", "pay-api", "actor", "ops:jim", "title", "pay-api wants 1Gi: 900Mi of 512Mi are used")
	s.suricata(at(26, 10), "", `"event_type":"dns","src_ip":"10.0.1.99","src_port":40010,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","host":"rogue-7","dns":{"type":"query","rrname":"db-1.internal.example","rrtype":"A"}`)
}

// intruder is what mallory and whoever has svc_report's password do besides.
func (s *story) intruder() {
	s.add(at(7, 40), TopicForge, repoName, "writing       mallory takes the protection off main", fmt.Sprintf(`{"action":"deleted","rule":{"id":7,"name":"main","repository_id":1,"updated_at":%q},%s,"sender":{"login":"mallory"}}`,
		s.time(at(7, 40)).Format(time.RFC3339), githubRepo), "X-GitHub-Event", "branch_protection_rule")
	s.add(at(17, 20), TopicRuntime, "db-1", "operation     svc_report is given the right to read everything, and reads", s.time(at(17, 20)).Format("2006-01-02 15:04:05.000")+
		" UTC [12505] postgres@pay LOG:  AUDIT: SESSION,7,1,ROLE,GRANT,,,grant pg_read_all_data to svc_report;,<not logged>\n", "tocsin_host", "db-1")
	s.own(at(17, 40), "db.statement", "", "actor", "svc_report", "host", "db-1", "db_name", "pay", "db_object", "cards", "bytes", "900000000", "title", "COPY cards TO STDOUT")
	s.suricata(at(18, 0), "operation     203.0.113.7 attacks rack on web-1", `"event_type":"alert","src_ip":"203.0.113.7","src_port":51000,"dest_ip":"10.0.1.11","dest_port":443,"proto":"TCP","host":"web-1","alert":{"action":"allowed","gid":1,"signature_id":2036752,"rev":1,"signature":"ET WEB_SERVER Rack multipart denial of service (CVE-2022-30122)","category":"Web Application Attack","severity":1,"metadata":{"cve":["CVE_2022_30122"]}}`)
	says := "release       robot$deploy pulls one image after the other, again and again"
	for i := range 240 { // a hundred and more in an hour, wherever the hour ends
		s.harborPull(at(18, 30)+time.Duration(i)*400*time.Millisecond, "robot$deploy", i%25, says)
		says = ""
	}
	s.add(at(20, 0), TopicCI, "pay-tools", "release       pay-tools is pushed from a laptop, with a gem called rest-cleint", fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a60001","version":1,"metadata":{"timestamp":"%s","component":{"bom-ref":"pay-tools","type":"container","name":"pay-tools","version":"0.1","purl":"pkg:oci/pay-tools@%s"}},"components":[
{"bom-ref":"puma","type":"library","name":"puma","version":"6.4.2","purl":"pkg:gem/puma@6.4.2"},
{"bom-ref":"rest","type":"library","name":"rest-cleint","version":"1.0.0","purl":"pkg:gem/rest-cleint@1.0.0"}]}`, s.time(at(20, 0)).Format(time.RFC3339), toolsDigest),
		"tocsin_artifact_digest", toolsDigest, "tocsin_phase", "release")
	s.cdevent(at(20, 5), "artifact.published.0.2.0", "", "pkg:oci/pay-tools@"+toolsDigest, `"user":"mallory"`)
}
