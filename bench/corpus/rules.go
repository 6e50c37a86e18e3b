package corpus

import (
	"fmt"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// Rule is one generated match rule.
type Rule struct {
	ID, Key, When string
}

// File returns the rule as its author writes it.
func (r Rule) File() rule.File {
	return rule.File{Name: r.ID + ".yaml", Data: fmt.Appendf(nil, `id: %s
title: generated
why: generated for the benchmark
kind: match
key: %s
when: |
  %s
subscriptions: [{team: sec, severity: 3}]
alert: {title: "{title}", summary: "{actor} {host}"}
`, r.ID, r.Key, r.When)}
}

// Files returns the rules' files.
func Files(rules []Rule) (files []rule.File) {
	for _, r := range rules {
		files = append(files, r.File())
	}
	return files
}

// form is one way in which rules about a type of events are written. Its condition takes the rule's number, which makes the
// constant one of its own.
type form struct {
	typ, key string
	when     func(i int) string
}

func f(typ, key, format string) form {
	return form{typ, key, func(i int) string { return fmt.Sprintf(format, i) }}
}

// forms go round: the types of the corpus in turn, and with each a form of every kind. Eleven comparisons look for a part of
// a text, eight for its end, four for its beginning, two for a network, one for a bound of a number; the others compare whole
// values. Of the values in SigmaHQ's 1,586 rules 53 % are parts, 26 % ends, 3 % beginnings, 14 % whole, 2 % numbers and 1 %
// networks: rules for a pipeline name more things as a whole. Each rule asks for a type of events, and most ask for a second
// thing that many events have. A seventh of the rules are about events that do not come, as in every set that was not
// written for one shop. About one rule in six compares with what events of the corpus do carry, and then meets few of them.
var forms = []form{
	f("net.flow", "ip(ev.SrcIP)", `ev.Attr("destination.port") == "%[1]d" && ev.Attr("network.transport") == "tcp"`),
	f("http.request", "ip(ev.SrcIP)", `ev.Attr("url.path") contains "/wp-content/plugins/slider-%[1]d/" && ev.Outcome == "success"`),
	f("auth.failed", "ip(ev.SrcIP)", `ev.Actor in ["deploy-%[1]d", "backup-%[1]d"] && ev.Service == "sshd"`),
	f("api.call", "ev.Actor", `ev.Attr("k8s.namespace.name") == "tenant-%[1]d" && ev.Attr("k8s.verb") in ["create", "update", "patch"]`),
	f("detection", "ev.Title", `ev.Title contains "command=curl http://drop-%[1]d" && ev.Severity >= 3`),
	f("taskrun.finished", "ev.Task", `ev.Task == "unit-%[1]d" && ev.Outcome == "failure"`),
	f("secret.detected", "ev.Repo", `ev.Repo endsWith "/service-%[1]d" && ev.Severity >= 4`),

	f("net.flow", "ip(ev.SrcIP)", `ev.DstDomain endsWith ".c2-%[1]d.example"`),
	f("http.request", "ip(ev.SrcIP)", `ev.Attr("url.path") endsWith ".php.bak%[1]d" && ev.Attr("http.request.method") == "GET"`),
	f("auth.success", "ev.Actor", `ev.Actor == "user%[1]d" && ev.Attr("auth.method") == "password"`),
	f("api.call", "ev.Actor", `ev.Actor endsWith ":deployer-%[1]d" && ev.Attr("k8s.verb") == "update"`),
	f("detection", "ev.Actor", `ev.Attr("process.command_line") contains "xmrig-%[1]d" || ev.Title contains "stratum+tcp://pool-%[1]d"`),
	f("taskrun.finished", "ev.Run", `ev.Run endsWith "-nightly-%[1]d" && ev.Outcome != "success"`),
	f("branch.push", "ev.Repo", `ev.Ref startsWith "release/%[1]d." && ev.Attr("forced") == "true"`),

	{"net.flow", "ip(ev.SrcIP)", func(i int) string {
		return fmt.Sprintf(`inCIDR(ev.DstIP, "100.%d.%d.0/24") && ev.Bytes >= 1000`, 64+i>>8&63, i&255)
	}},
	f("http.request", "ip(ev.SrcIP)", `ev.Attr("user_agent.original") contains "scanner/%[1]d." && !ev.HasLabel("chaos:")`),
	{"auth.failed", "ip(ev.SrcIP)", func(i int) string {
		return fmt.Sprintf(`inCIDR(ev.SrcIP, "198.51.%d.0/28", "192.0.2.%d/32") && ev.Outcome == "failure"`, i&255, i&255)
	}},
	f("api.call", "ev.Actor", `ev.Attr("url.path") startsWith "/apis/batch/v1/namespaces/team-%[1]d/" && ev.Attr("http.response.status_code") == "201"`),
	f("detection", "ev.Host", `ev.Rule == "Outbound connection to pool %[1]d" && !(ev.Host in ["node-%[1]d", "node-1%[1]d"])`),
	f("taskrun.finished", "ev.Task", `ev.Title contains "coverage-%[1]d" && ev.Phase == "testing"`),
	f("vulnerability.found", "ev.Purl", `ev.Purl startsWith "pkg:npm/left-pad-%[1]d@" && ev.Severity >= 4`),

	{"net.flow", "ip(ev.SrcIP)", func(i int) string {
		return fmt.Sprintf(`ev.Bytes >= %d && ev.Attr("network.transport") == "udp"`, 1_000_000+1000*i)
	}},
	f("http.request", "ip(ev.SrcIP)", `ev.Attr("url.path") contains "union+select+%[1]d" || ev.Attr("user_agent.original") contains "sqlmap/1.%[1]d"`),
	f("auth.failed", "ev.Host", `ev.Host == "host-%[1]d" && ev.Actor == "root"`),
	f("api.call", "ev.Actor", `ev.Attr("user_agent.original") startsWith "kube-hunter/%[1]d" && ev.Outcome == "success"`),
	f("detection", "ev.Actor", `ev.Attr("container.image.name") endsWith "/miner-%[1]d" && ev.Severity >= 2`),
	f("taskrun.finished", "ev.Run", `ev.Pipeline == "release-%[1]d" && ev.Outcome == "failure"`),
	f("artifact.published", "ev.Artifact", `ev.Artifact contains "/unsigned-%[1]d:" && ev.Environment == "production"`),

	f("net.flow", "ip(ev.SrcIP)", `ev.Attr("network.protocol.name") == "failed" && ev.Title contains "-> 198.18.%[1]d."`),
	f("http.request", "ip(ev.SrcIP)", `ev.Attr("url.path") == "/api/v1/orders/%[1]d" && ev.Attr("http.response.status_code") == "502"`),
	f("auth.success", "ip(ev.SrcIP)", `ev.Host endsWith "bastion-%[1]d" && ev.Attr("auth.method") == "password"`),
	f("api.call", "ev.Actor", `ev.Title contains "exec pods tenant-%[1]d/" && ev.Actor != "system:admin"`),
	f("detection", "ev.Host", `ev.Attr("file.path") in ["/etc/cron.d/job-%[1]d", "/root/.ssh/id_%[1]d"]`),
	f("taskrun.finished", "ev.Task", `ev.Task matches "^deploy-%[1]d-(canary|full)$"`),
	f("dns.query", "ip(ev.SrcIP)", `ev.DstDomain endsWith ".dga-%[1]d.example"`),
}

// Rules returns n match rules. The first ones of a longer list are those of a shorter one.
func Rules(n int) []Rule {
	rules := make([]Rule, n)
	for i := range rules {
		form := &forms[i%len(forms)]
		rules[i] = Rule{fmt.Sprintf("G%04d", i), form.key, fmt.Sprintf(`ev.Type == %q && (%s)`, form.typ, form.when(i))}
	}
	return rules
}

// Windows returns the files of rules that count by address, over about 100,000 addresses a million records, and hardly ever
// fire. A fifth of the records counts.
func Windows() []rule.File {
	var files []rule.File
	for _, w := range []struct{ id, when, window, aggregates, having string }{
		{"W1", `ev.Type == "auth.failed"`, "5m", "{n: count}", "n >= 1000"},
		{"W2", `ev.Type == "http.request" && ev.Outcome == "failure"`, "10m", "{n: count, users: distinct ev.Actor}", "n >= 1000 && users >= 20"},
		{"W3", `ev.Type == "api.call" && ev.Attr("http.response.status_code") == "403"`, "30m", "{objects: distinct ev.Title}", "objects >= 500"},
	} {
		files = append(files, rule.File{Name: w.id + ".yaml", Data: fmt.Appendf(nil, `id: %s
title: generated
why: generated for the benchmark
kind: threshold
key: ip(ev.SrcIP)
when: %s
window: %s
aggregates: %s
having: %s
subscriptions: [{team: sec, severity: 3}]
alert: {title: "{src_ip}", summary: "{actor} {host}"}
`, w.id, w.when, w.window, w.aggregates, w.having)})
	}
	return files
}
