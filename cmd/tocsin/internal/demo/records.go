package demo

import (
	"fmt"
	"strings"
	"time"
)

// sha is a commit nobody has seen before.
func (s *story) sha() string {
	return fmt.Sprintf("%016x%016x%08x", s.rng.Uint64(), s.rng.Uint64(), s.rng.Uint32())
}

// own is an event in tocsin's own words, as CloudEvents in structured mode.
func (s *story) own(t time.Duration, typ, says string, fields ...string) {
	var data []string
	for i := 0; i < len(fields); i += 2 {
		data = append(data, fmt.Sprintf("%q:%q", fields[i], fields[i+1]))
	}
	s.add(t, TopicPeople, typ, says, fmt.Sprintf(`{"specversion":"1.0","type":"dev.tocsin.%s","id":"own-%d-%s","source":"/tocsin/people","time":"%s","datacontenttype":"application/json","data":{%s}}`,
		typ, len(s.records), typ, s.time(t).Format(time.RFC3339Nano), strings.Join(data, ",")), "content-type", "application/cloudevents+json")
}

// cdevent is a CDEvents 0.4 event.
func (s *story) cdevent(t time.Duration, typ, says, subject, content string, headers ...string) {
	kind, _, _ := strings.Cut(typ, ".")
	s.add(t, TopicCI, subject, says, fmt.Sprintf(`{"context":{"version":"0.4.1","id":"cd-%d-%s","source":"/ci/pay","type":"dev.cdevents.%s","timestamp":"%s"},"subject":{"id":%q,"source":"/ci/pay","type":%q,"content":{%s}}}`,
		len(s.records), typ, typ, s.time(t).Format(time.RFC3339Nano), subject, kind, content), headers...)
}

const githubRepo = `"repository":{"id":1,"name":"pay","full_name":"` + repoName + `","private":true,"html_url":"` + repoURL + `","clone_url":"` + repoURL + `.git","default_branch":"main","owner":{"login":"acme"}}`

func (s *story) push(t time.Duration, who, branch, before, after string, forced bool, says string) {
	when := s.time(t).Format(time.RFC3339)
	s.add(t, TopicForge, repoName, says, fmt.Sprintf(`{"ref":"refs/heads/%s","before":%q,"after":%q,%s,"pusher":{"name":%q,"email":"%s@example.com"},"sender":{"login":%q,"type":"User"},"created":false,"deleted":false,"forced":%t,"base_ref":null,"compare":"%s/compare/x","commits":[{"id":%q,"tree_id":%q,"distinct":true,"message":"work","timestamp":%q,"url":"%s/commit/%s","author":{"name":%q,"email":"%s@example.com","username":%q},"committer":{"name":%q,"email":"%s@example.com","username":%q},"added":[],"removed":[],"modified":["app.rb"]}],"head_commit":{"id":%q,"timestamp":%q,"message":"work"}}`,
		branch, before, after, githubRepo, who, who, who, forced, repoURL, after, before, when, repoURL, after, who, who, who, who, who, who, after, when), "X-GitHub-Event", "push")
}

func pullRequest(number int, who, sha string, merged bool, state string, when time.Time) string {
	closed, lines := "null", 40
	if number == hastyChange {
		lines = 900
	}
	if state == "closed" {
		closed = fmt.Sprintf("%q", when.Format(time.RFC3339))
	}
	return fmt.Sprintf(`"pull_request":{"id":%d,"number":%d,"state":%q,"title":"change %d","user":{"login":%q},"html_url":"%s/pull/%d","created_at":%q,"updated_at":%q,"closed_at":%s,"merged":%t,"merged_at":null,"draft":false,"head":{"ref":"feature-%d","sha":%q,"repo":{"full_name":%q}},"base":{"ref":"main","sha":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","repo":{"full_name":%q}},"additions":%d,"deletions":4,"changed_files":3}`,
		9000+number, number, state, number, who, repoURL, number, when.Format(time.RFC3339), when.Format(time.RFC3339), closed, merged, number, sha, repoName, repoName, lines)
}

func (s *story) pull(t time.Duration, action string, number int, who, sha string, merged bool, says string) {
	state := "open"
	if action == "closed" {
		state = "closed"
	}
	s.add(t, TopicForge, repoName, says, fmt.Sprintf(`{"action":%q,"number":%d,%s,%s,"sender":{"login":%q}}`,
		action, number, pullRequest(number, who, sha, merged, state, s.time(t)), githubRepo, who), "X-GitHub-Event", "pull_request")
}

func (s *story) review(t time.Duration, number int, author, verdict, sha string) {
	s.add(t, TopicForge, repoName, "", fmt.Sprintf(`{"action":"submitted","review":{"id":%d,"user":{"login":"rita"},"body":"","commit_id":%q,"submitted_at":%q,"state":%q,"html_url":"%s/pull/%d#r"},%s,%s,"sender":{"login":"rita"}}`,
		len(s.records), sha, s.time(t).Format(time.RFC3339), verdict, repoURL, number, pullRequest(number, author, sha, false, "open", s.time(t)), githubRepo), "X-GitHub-Event", "pull_request_review")
}

func (s *story) issue(t time.Duration, action string, number int) {
	state, closed := "open", "null"
	if action == "closed" {
		state, closed = "closed", fmt.Sprintf("%q", s.time(t).Format(time.RFC3339))
	}
	s.add(t, TopicForge, repoName, "", fmt.Sprintf(`{"action":%q,"issue":{"id":%d,"number":%d,"title":"problem %d","user":{"login":"bob"},"labels":[{"name":"bug"}],"state":%q,"state_reason":null,"created_at":%q,"updated_at":%q,"closed_at":%s,"html_url":"%s/issues/%d","body":"steps"},%s,"sender":{"login":"bob"}}`,
		action, 7000+number, number, number, state, s.time(t).Format(time.RFC3339), s.time(t).Format(time.RFC3339), closed, repoURL, number, githubRepo), "X-GitHub-Event", "issues")
}

func (s *story) jenkins(t time.Duration, job string, number int, status, says string) {
	s.add(t, TopicCI, job, says, fmt.Sprintf(`{"name":%q,"url":"job/%s/","build":{"full_url":"https://jenkins.example/job/%s/%d/","number":%d,"queue_id":%d,"timestamp":%d,"duration":42000,"phase":"FINALIZED","status":%q,"url":"job/%s/%d/","scm":{"url":"%s.git","branch":"origin/main","commit":%q},"log":"","artifacts":{}}}`,
		job, job, job, number, number, 100+number, s.time(t).UnixMilli(), status, job, number, repoURL, s.sha()))
}

func (s *story) suricata(t time.Duration, says, fields string, headers ...string) {
	s.add(t, TopicRuntime, "ids", says, fmt.Sprintf(`{"timestamp":"%s","flow_id":%d,"in_iface":"eth0",%s}`,
		s.time(t).Format("2006-01-02T15:04:05.000000-0700"), s.rng.Int64N(1<<50), fields), headers...)
}

// harborPull is an image that somebody fetches from the registry.
func (s *story) harborPull(t time.Duration, who string, image int, says string) {
	s.add(t, TopicCI, "registry", says, fmt.Sprintf(`{"type":"PULL_ARTIFACT","occur_at":%d,"operator":%q,"event_data":{"resources":[{"digest":"sha256:%064x","tag":"1.0","resource_url":"registry.example/pay/service-%d:1.0"}],"repository":{"date_created":1680501893,"name":"service-%d","namespace":"pay","repo_full_name":"pay/service-%d","repo_type":"private"}}}`,
		s.time(t).Unix(), who, 7000+image, image, image, image))
}

func (s *story) sshd(t time.Duration, host, says, message string, args ...any) {
	s.add(t, TopicRuntime, host, says, fmt.Sprintf("%s %s sshd[%d]: %s", s.time(t).Format(time.Stamp), host, 1000+s.rng.IntN(30000), fmt.Sprintf(message, args...)))
}

// access is a line of nginx's access log on a host.
func (s *story) access(t time.Duration, host string, status int) {
	s.add(t, TopicRuntime, host, "", fmt.Sprintf(`192.0.2.%d - - [%s] "GET /orders/%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
		1+s.rng.IntN(200), s.time(t).Format("02/Jan/2006:15:04:05 -0700"), s.rng.IntN(9000), status, 200+s.rng.IntN(4000)), "tocsin_host", host, "tocsin_service", "pay-api")
}

func pandora(host string, when time.Time, cpu int, load float64) string {
	return fmt.Sprintf(`<?xml version='1.0' encoding='UTF-8'?>
<agent_data description='%s' group='Servers' os_name='linux' os_version='Debian GNU/Linux 12' interval='15' version='7.0NG.777' timestamp='%s' agent_name='%s' timezone_offset='0' address='10.0.1.9'>
<module><name><![CDATA[cpu_user]]></name><type>generic_data</type><min_critical>91</min_critical><max_critical>100</max_critical><data><![CDATA[%d]]></data></module>
<module><name><![CDATA[Load Average]]></name><type>generic_data</type><data><![CDATA[%.2f]]></data></module>
<module><name><![CDATA[sshDaemon]]></name><type>generic_proc</type><data><![CDATA[1]]></data></module>
</agent_data>`, host, when.Format("2006/01/02 15:04:05"), host, cpu, load)
}

// junitSuite is a report of cases, of which some failed and some passed at the second try.
func junitSuite(name string, when time.Time, cases, failed, flaky int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name=%q tests="%d" failures="%d" errors="0" skipped="0" time="%d.5" timestamp=%q>
`, name, cases, failed, cases/10, when.Format("2006-01-02T15:04:05"))
	for i := range cases {
		switch {
		case i < failed:
			fmt.Fprintf(&b, `<testcase name="case %d" classname="pay.%s" time="0.2"><failure message="expected 200, got 500" type="AssertionError">at pay_test.rb:%d</failure></testcase>`+"\n", i, name, i)
		case i < failed+flaky:
			fmt.Fprintf(&b, `<testcase name="case %d" classname="pay.%s" time="0.2"><flakyFailure message="timeout" type="Timeout">slow</flakyFailure></testcase>`+"\n", i, name)
		default:
			fmt.Fprintf(&b, `<testcase name="case %d" classname="pay.%s" time="0.1"/>`+"\n", i, name)
		}
	}
	b.WriteString("</testsuite>\n")
	return b.String()
}

// skippedSuite is a report of security's routine of which a third is skipped.
func skippedSuite(when time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="sec-billing" tests="9" failures="0" errors="0" skipped="3" time="3.5" timestamp=%q>
`, when.Format("2006-01-02T15:04:05"))
	for i := range 9 {
		if i%3 == 0 {
			fmt.Fprintf(&b, `<testcase name="case %d" classname="billing.sec" time="0"><skipped message="later"/></testcase>`+"\n", i)
		} else {
			fmt.Fprintf(&b, `<testcase name="case %d" classname="billing.sec" time="0.1"/>`+"\n", i)
		}
	}
	b.WriteString("</testsuite>\n")
	return b.String()
}

func bundlerAudit(when time.Time) string {
	return fmt.Sprintf(`{"version":"0.9.3","created_at":"%s","results":[{"type":"unpatched_gem","gem":{"name":"rack","version":"2.2.3"},"advisory":{"path":"/srv/demo/ruby-advisory-db/gems/rack/CVE-2022-30122.yml","id":"CVE-2022-30122","url":"https://github.com/rack/rack/security","title":"Denial of Service in Rack multipart parsing","date":"2022-05-27","description":"A possible denial of service","cvss_v2":null,"cvss_v3":7.5,"cve":"2022-30122","osvdb":null,"ghsa":"hxqx-xwvh-44m2","unaffected_versions":[],"patched_versions":["~> 2.0.9, >= 2.0.9.1","~> 2.1.4, >= 2.1.4.1",">= 2.2.3.1"],"criticality":"high"}}]}`,
		when.Format("2006-01-02 15:04:05 -0700"))
}

func dockerBench(when time.Time) string {
	return fmt.Sprintf(`{"dockerbenchsecurity":"1.3.6","start":%d,"tests":[{"id":"2","desc":"Docker daemon configuration","results":[
{"id":"2.1","desc":"Run the Docker daemon as a non-root user, if possible","result":"INFO"},
{"id":"2.2","desc":"Ensure network traffic is restricted between containers on the default bridge","result":"WARN"},
{"id":"2.9","desc":"Enable user namespace support","result":"WARN"},
{"id":"2.12","desc":"Ensure that authorization for Docker client commands is enabled","result":"WARN"},
{"id":"2.15","desc":"Ensure that live restore is enabled","result":"WARN"},
{"id":"2.17","desc":"Ensure containers are restricted from acquiring new privileges","result":"PASS"}]}],"checks":6,"score":-2,"end":%d}`,
		when.Unix()-20, when.Unix())
}

func sbom(when time.Time, version, digest, rackVersion string) string {
	return fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a6%s","version":1,"metadata":{"timestamp":"%s","component":{"bom-ref":"pay-api","type":"container","name":"pay-api","version":"%s","purl":"pkg:oci/pay-api@%s"}},"components":[
{"bom-ref":"rack","type":"library","name":"rack","version":"%s","purl":"pkg:gem/rack@%s","licenses":[{"license":{"id":"MIT"}}]},
{"bom-ref":"puma","type":"library","name":"puma","version":"6.4.2","purl":"pkg:gem/puma@6.4.2","licenses":[{"license":{"id":"BSD-3-Clause"}}]},
{"bom-ref":"pg","type":"library","name":"pg","version":"1.5.6","purl":"pkg:gem/pg@1.5.6","licenses":[{"license":{"id":"BSD-2-Clause"}}]}]}`,
		strings.ReplaceAll(version, ".", "")+"0", when.Format(time.RFC3339), version, digest, rackVersion, rackVersion)
}

const iacSARIF = `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"tool":{"driver":{"name":"checkov","version":"3.2.0","rules":[{"id":"CKV_AWS_24","shortDescription":{"text":"No security group allows ingress from 0.0.0.0/0 to port 22"},"defaultConfiguration":{"level":"error"}}]}},"results":[{"ruleId":"CKV_AWS_24","ruleIndex":0,"level":"error","message":{"text":"Security group allows ingress from 0.0.0.0/0 to port 22"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"infra/network.tf"},"region":{"startLine":12}}}]}]}]}`

// noise is what every day brings, in every phase.
func (s *story) noise(rate int) {
	if rate <= 0 {
		return
	}
	for t := 7 * time.Second; t < Length; t += 20 * time.Second { // people mistype now and then
		s.sshd(t, "web-1", "", "Failed password for %s from %s port %d ssh2", fmt.Sprintf("user%d", s.rng.IntN(40)), fmt.Sprintf("192.0.2.%d", 1+s.rng.IntN(200)), 40000+s.rng.IntN(20000))
	}
	step := time.Second / time.Duration(rate)
	people := []string{"bob", "carol", "dave", "erin", "frank"}
	for t := time.Duration(0); t < Length; t += step {
		who := people[s.rng.IntN(len(people))]
		switch n := s.rng.IntN(1000); {
		case n < 4:
			s.push(t, who, fmt.Sprintf("feature-%d", s.rng.IntN(20)), s.sha(), s.sha(), false, "")
		case n < 8:
			s.jenkins(t, []string{"web-build", "mail-build", "infra-plan"}[s.rng.IntN(3)], 1000+len(s.records), "SUCCESS", "")
		case n < 10:
			s.add(t, TopicCI, who, "", junitSuite(fmt.Sprintf("web-%x", s.rng.Uint32()), s.time(t), 8, 0, 0), "tocsin_run_id", fmt.Sprintf("jenkins/web-build/%d", s.rng.IntN(900)))
		case n < 12:
			s.cdevent(t, "service.deployed.0.2.0", "", "web", `"environment":{"id":"staging","source":"/argo"},"artifactId":"pkg:oci/web@`+goodDigest+`"`)
		case n < 14:
			image := fmt.Sprintf("pkg:oci/web@sha256:%064x", s.rng.Uint64())
			s.cdevent(t, "artifact.packaged.0.2.0", "", image, `"user":"ci-bot"`)
			s.cdevent(t, "artifact.signed.0.2.0", "", image, `"signature":"MEUCIQ"`)
			s.cdevent(t+time.Second, "artifact.published.0.2.0", "", image, `"user":"ci-bot"`)
		case n < 30:
			s.sshd(t, "web-1", "", "Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:abc", who, fmt.Sprintf("192.0.2.%d", 1+s.rng.IntN(200)), 40000+s.rng.IntN(20000))
		default:
			s.suricata(t, "", fmt.Sprintf(`"event_type":"flow","src_ip":"10.0.%d.%d","src_port":%d,"dest_ip":"10.0.1.%d","dest_port":443,"proto":"TCP","app_proto":"tls","host":"web-%d","flow":{"pkts_toserver":10,"pkts_toclient":9,"bytes_toserver":%d,"bytes_toclient":%d,"state":"closed"}`,
				s.rng.IntN(4), 1+s.rng.IntN(250), 1024+s.rng.IntN(60000), 1+s.rng.IntN(20), 1+s.rng.IntN(2), 400+s.rng.IntN(4000), 1000+s.rng.IntN(90000)))
		}
	}
}
