package enrich

import (
	"archive/zip"
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

var when = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// newEvent appends an event of a record of its own, with fields given as column=value.
func newEvent(t testing.TB, b *pipeline.Batch, fields ...string) *pipeline.Event {
	t.Helper()
	b.Records = append(b.Records, pipeline.Record{Offset: int64(len(b.Records)), Time: when})
	e := b.Next(len(b.Records) - 1)
	for _, f := range fields {
		column, value, _ := strings.Cut(f, "=")
		if err := e.SetField(column, value); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// said returns the event's fields that are not the test's clock, as column=value in their order.
func said(e *pipeline.Event) string {
	s := string(e.AppendJSON(nil))
	_, s, _ = strings.Cut(s, `"ingest_time":"2026-11-23T10:00:00Z"`)
	return strings.TrimSuffix(strings.TrimPrefix(s, ","), "}")
}

// write makes a file with the text in a folder of the test's own.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newEnricher(t testing.TB, cfg Config) *Enricher {
	t.Helper()
	en, err := New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return en
}

// enrichOne runs one event through the processor.
func enrichOne(t testing.TB, p *Processor, fields ...string) *pipeline.Event {
	t.Helper()
	b := &pipeline.Batch{}
	newEvent(t, b, fields...)
	if err := p.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return &b.Events[0]
}

func TestNetworkScope(t *testing.T) {
	cfg := Config{Networks: []string{write(t, "networks.csv", `# ours
cidr,name,private,proxy
10.1.0.0/16,corp,,
10.1.9.0/24,guests,false,
203.0.113.0/24,edge,true,
2001:db8:1::/48,ci,true,
198.51.100.7,partner,false,
::ffff:192.0.2.0/120,mapped,true,
`)}}
	p := newEnricher(t, cfg).Processor()
	f := func(want string, fields ...string) {
		t.Helper()
		e := enrichOne(t, p, fields...)
		if got := strings.TrimRight(strings.Join([]string{e.NetScope, e.Attr("source.network"), e.Attr("destination.network")}, " "), " "); got != want {
			t.Errorf("%v: got %s, want %s", fields, got, want)
		}
	}
	// R53's own examples
	f("private", "src_ip=10.0.0.5", "dst_ip=10.0.0.9")
	f("egress", "src_ip=10.0.0.5", "dst_ip=151.101.1.1")
	f("private", "src_ip=fd00::1", "dst_ip=fc00::2")

	f("private", "src_ip=172.31.255.255", "dst_ip=192.168.1.1")
	f("egress", "src_ip=172.16.0.1", "dst_ip=172.32.0.1")
	f("private", "src_ip=127.0.0.1", "dst_ip=::1")
	f("private", "src_ip=fe80::1", "dst_ip=ff02::fb")
	f("ingress", "src_ip=151.101.1.1", "dst_ip=10.0.0.5")
	f("external", "src_ip=151.101.1.1", "dst_ip=8.8.8.8")
	f("ingress", "src_ip=::ffff:151.101.1.1", "dst_ip=::ffff:10.0.0.5")

	// configured ones, the longest prefix first
	f("private corp", "src_ip=10.1.2.3", "dst_ip=10.0.0.9")
	f("ingress guests corp", "src_ip=10.1.9.3", "dst_ip=10.1.0.9")
	f("private edge ci", "src_ip=203.0.113.9", "dst_ip=2001:db8:1::5")
	f("external  partner", "src_ip=8.8.8.8", "dst_ip=198.51.100.7")
	f("private  mapped", "src_ip=10.0.0.1", "dst_ip=192.0.2.44")

	// one end: the other is the host that reported it
	f("ingress", "src_ip=151.101.1.1")
	f("private", "src_ip=10.0.0.1")
	f("egress", "dst_ip=151.101.1.1")
	f("private", "src_ip=10.0.0.1", "dst_domain=shop.example.com", "event_type=http.request")
	f("none", "src_ip=10.0.0.1", "dst_domain=github.com", "event_type=net.flow")

	// what is said already stays
	f("external", "src_ip=10.0.0.1", "dst_ip=10.0.0.2", "net_scope=external")
	f("none", "title=no address")
}

func TestForwardedForIsTakenFromTrustedProxiesOnly(t *testing.T) {
	cfg := Config{Networks: []string{write(t, "networks.yaml", `
- {cidr: 203.0.113.0/24, name: cdn, private: false, proxy: true}
- {cidr: 10.0.9.0/24, name: edge, proxy: true}
- {cidr: 10.0.0.0/8, name: corp}
`)}}
	p := newEnricher(t, cfg).Processor()
	f := func(src, forwarded, wantSrc, wantProxy, wantScope string) {
		t.Helper()
		e := enrichOne(t, p, "event_type=http.request", "src_ip="+src, "attributes."+forwardedFor+"="+forwarded)
		if got := []string{e.SrcIP.String(), e.Attr("source.proxy"), e.NetScope}; !cmp.Equal(got, []string{wantSrc, wantProxy, wantScope}) {
			t.Errorf("%s for %q: %v, want %v", src, forwarded, got, []string{wantSrc, wantProxy, wantScope})
		}
	}
	f("10.0.9.1", "8.8.8.8", "8.8.8.8", "10.0.9.1", "ingress")
	f("10.0.9.1", "1.1.1.1, 8.8.8.8, 203.0.113.5", "8.8.8.8", "10.0.9.1", "ingress") // 1.1.1.1 may be made up
	f("203.0.113.5", "[2001:db8::1]:4711", "2001:db8::1", "203.0.113.5", "ingress")
	f("10.0.9.1", "10.0.0.4:80", "10.0.0.4", "10.0.9.1", "private")
	f("10.0.9.1", "unknown", "10.0.9.1", "", "private")
	f("10.0.9.1", "8.8.8.8, unknown", "10.0.9.1", "", "private")
	f("10.0.9.1", "", "10.0.9.1", "", "private")
	f("10.0.9.1", "10.0.9.2", "10.0.9.1", "", "private")
	f("10.0.0.1", "8.8.8.8", "10.0.0.1", "", "private") // no proxy of ours
	f("9.9.9.9", "8.8.8.8", "9.9.9.9", "", "ingress")
}

func TestAssets(t *testing.T) {
	cfg := Config{Assets: []string{
		write(t, "assets.yaml", `
- {kind: repo, name: "github.com/acme/*", project: acme, owner: "@acme/everybody", environment: build}
- {kind: repo, name: "github.com/acme/pay-*", project: payments, team: dev, service: pay, owner: "@acme/payments"}
- {kind: repo, name: github.com/acme/pay-api, service: pay-api}
- {kind: service, name: pay-api, exposure: internet}
`),
		write(t, "hosts.csv", "kind,name,project,environment,exposure\n"+
			"host,*.prod.example.com,,production,internal\n"+
			"host,db-1.prod.example.com,payments,,none\n"+
			"database,db-1.prod.example.com/pay,payments,,pii\n"+
			"database,db-1.prod.example.com/pay/public.audit_log,payments,,audit\n"+
			"image,registry.example.com/web,web,,\n"),
	}}
	p := newEnricher(t, cfg).Processor()
	f := func(want string, fields ...string) {
		t.Helper()
		e := enrichOne(t, p, fields...)
		got := strings.Join([]string{e.Project, e.Team, e.Service, e.Environment, e.Attr("exposure"), e.Attr("owner")}, "|")
		if got != want {
			t.Errorf("%v: got %s, want %s", fields, got, want)
		}
	}
	for range 2 { // the second time from memory
		f("acme|none||build||@acme/everybody", "repo=github.com/acme/site")
		f("payments|dev|pay|build||@acme/payments", "repo=github.com/acme/pay-web")
		// the name's own row, then patterns; the service that it names is asked in turn
		f("payments|dev|pay-api|build|internet|@acme/payments", "repo=github.com/ACME/pay-api")
		f("|none||||", "repo=github.com/other/site")
		f("|none||production|internal|", "host=web-9.prod.example.com")
		f("payments|none||production|none|", "host=db-1.prod.example.com")
		f("payments|none||production|audit|", "host=db-1.prod.example.com", "db_name=pay", "db_object=public.audit_log")
		f("payments|none||production|pii|", "host=db-1.prod.example.com", "db_name=pay", "db_object=public.users")
		f("web|none||||", "artifact=registry.example.com/web")
	}
	// nothing that is there is replaced
	f("mine|ops|s|staging|none|", "project=mine", "team=ops", "service=s", "environment=staging", "host=db-1.prod.example.com")
}

func TestGeoIP(t *testing.T) {
	cfg := Config{GeoIP: []string{"testdata/geoip/GeoLite2-City-Test.mmdb", "testdata/geoip/GeoLite2-ASN-Test.mmdb"}}
	p := newEnricher(t, cfg).Processor()
	for range 2 { // the second time from memory
		e := enrichOne(t, p, "src_ip=81.2.69.142", "dst_ip=1.128.0.5")
		want := []pipeline.Attr{
			{Key: "source.geo.country_iso_code", Value: "GB"},
			{Key: "destination.as.number", Value: "1221"},
			{Key: "destination.as.organization.name", Value: "Telstra Pty Ltd"},
		}
		if diff := cmp.Diff(want, e.Attrs); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if e := enrichOne(t, p, "src_ip=10.0.0.1", "dst_ip=2001:db8::"); len(e.Attrs) != 0 {
		t.Errorf("addresses that are nowhere are in %v", e.Attrs)
	}
}

func TestThreats(t *testing.T) {
	cfg := Config{Threats: []ThreatList{
		{"c2", write(t, "c2.txt", "# remark\n185.1.1.1\n185.2.0.0/16, a whole network\nevil.example.com\n\"quoted.example.net\"\n10.0.0.0/8\n")},
		{"botnet", write(t, "botnet.txt", "185.2.3.4\n2a00:bad::/32\nEVIL.example.com ; again\r\n44D88612FEA8A8F36DE82E1278ABB02F\nsha256:"+strings.Repeat("ab", 32)+"\npkg:npm/event-stream@3.3.6\npkg:pypi/evil-lib\n")},
	}}
	p := newEnricher(t, cfg).Processor()
	f := func(wantLabels, wantIndicator string, fields ...string) {
		t.Helper()
		e := enrichOne(t, p, fields...)
		if got := strings.Join(e.Labels, ","); got != wantLabels || e.Attr("threat.indicator") != wantIndicator {
			t.Errorf("%v: %s %q, want %s %q", fields, got, e.Attr("threat.indicator"), wantLabels, wantIndicator)
		}
	}
	f("threat:c2", "185.1.1.1", "src_ip=185.1.1.1")
	f("threat:c2", "185.2.0.0/16", "dst_ip=185.2.9.9")
	f("threat:botnet,threat:c2", "185.2.3.4", "dst_ip=::ffff:185.2.3.4")
	f("threat:botnet", "2a00:bad::/32", "src_ip=2a00:bad::1")
	f("threat:botnet,threat:c2", "evil.example.com", "dst_domain=a.b.Evil.example.com.")
	f("threat:c2", "quoted.example.net", "dst_domain=quoted.example.net")
	f("threat:botnet", "44d88612fea8a8f36de82e1278abb02f", "attributes.file.hash.md5=44D88612FEA8A8F36DE82E1278ABB02F")
	f("threat:botnet", strings.Repeat("ab", 32), "artifact_digest=sha256:"+strings.Repeat("ab", 32))
	f("threat:botnet", "pkg:npm/event-stream@3.3.6", "purl=pkg:npm/event-stream@3.3.6")
	f("", "", "purl=pkg:npm/event-stream@4.0.0")
	f("threat:botnet", "pkg:pypi/evil-lib", "purl=pkg:pypi/evil-lib@1.0")
	f("threat:c2", "its own word", "src_ip=185.1.1.1", "attributes.threat.indicator=its own word")
	f("", "", "src_ip=10.0.0.1", "dst_domain=notevil.example.com")
	f("", "", "dst_domain=example.com")
	f("", "", "src_ip=8.8.8.8")
}

func TestVulnerabilities(t *testing.T) {
	cfg := Config{
		KEV: write(t, "kev.json", `{"title":"CISA Catalog","dateReleased":"2026-11-20T12:00:00.0000Z","count":1,
			"vulnerabilities":[{"cveID":"CVE-2021-44228","dueDate":"2021-12-24"}]}`),
		EPSS: write(t, "epss.csv", "#model_version:v2025.03.14,score_date:2026-11-21T12:55:00Z\ncve,epss,percentile\nCVE-2021-44228,0.94358,0.99957\nCVE-2020-0001,0.00042,0.1\n"),
	}
	en := newEnricher(t, cfg)
	p := en.Processor()
	f := func(want string, ids string) {
		t.Helper()
		e := enrichOne(t, p, "vuln_ids="+ids)
		got := strings.Join([]string{e.Attr("vulnerability.kev"), e.Attr("vulnerability.kev.due_date"), e.Attr("vulnerability.epss")}, "|")
		if got != want {
			t.Errorf("%s: got %s, want %s", ids, got, want)
		}
	}
	f("true|2021-12-24|0.94358", "CVE-2020-0001,CVE-2021-44228")
	f("||0.00042", "CVE-2020-0001,GHSA-aaaa-bbbb-cccc")
	f("||", "CVE-1999-0001")
	f("||", "")
	for _, table := range en.tables { // the ages are those of what the files say, not of the files
		if table.asOf.Year() != 2026 || table.asOf.Month() != time.November || table.asOf.Day() < 20 || table.asOf.Day() > 21 {
			t.Errorf("%s is as of %v", table.name, table.asOf)
		}
	}
}

func TestAdvisories(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, text := range map[string]string{
		"GHSA-hxqx-xwvh-44m2.json": `{"id":"GHSA-hxqx-xwvh-44m2","modified":"2026-11-20T08:00:00Z","aliases":["CVE-2022-30122"],"affected":[
			{"package":{"ecosystem":"RubyGems","name":"rack","purl":"pkg:gem/rack"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0.9.1"}]},
			{"type":"ECOSYSTEM","events":[{"introduced":"2.1.0"},{"fixed":"2.1.4.1"}]},{"type":"GIT","events":[{"fixed":"4b825dc642cb"}]}]}]}`,
		"README.txt": "no advisory",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	one := `{"id":"GO-2026-1","modified":"2026-11-19T08:00:00Z","withdrawn":"2026-11-18T08:00:00Z","affected":[{"package":{"purl":"pkg:golang/x.example/y"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.3"}]}]}]}`
	en := newEnricher(t, Config{
		OSV:  []string{write(t, "all.zip", archive.String()), write(t, "one.json", one)},
		EPSS: write(t, "epss.csv", "cve,epss,percentile\nCVE-2022-30122,0.5,0.9\n"),
	})
	p := en.Processor()
	f := func(want string, fields ...string) {
		t.Helper()
		e := enrichOne(t, p, fields...)
		got := strings.Join(append(e.Vulns, e.Attr("fixed_version"), e.Attr("fixed_versions"), e.Attr("vulnerability.withdrawn"), e.Attr("vulnerability.epss")), "|")
		if got != want {
			t.Errorf("%s: got %s, want %s", fields, got, want)
		}
	}
	f("CVE-2022-30122|GHSA-hxqx-xwvh-44m2||2.0.9.1, 2.1.4.1||0.5", "vuln_ids=GHSA-hxqx-xwvh-44m2", "purl=pkg:gem/rack@2.0.1?platform=ruby")
	f("CVE-2022-30122|GHSA-hxqx-xwvh-44m2||||0.5", "vuln_ids=CVE-2022-30122,GHSA-hxqx-xwvh-44m2", "purl=pkg:gem/rack-cors@1.0")
	f("GO-2026-1|1.2.3||2026-11-18T08:00:00Z|", "vuln_ids=GO-2026-1", "purl=pkg:golang/x.example/y@v1.0.0")
	f("GO-2026-1|1.2.2||2026-11-18T08:00:00Z|", "vuln_ids=GO-2026-1", "purl=pkg:golang/x.example/y@v1.0.0", "attributes.fixed_version=1.2.2")
	f("CVE-2000-1||||", "vuln_ids=CVE-2000-1")
	for _, table := range en.tables {
		if want := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC); table.name == "osv" && !table.asOf.Equal(want) {
			t.Errorf("the advisories are as of %v, want %v", table.asOf, want)
		}
	}
	broken := newEnricher(t, Config{OSV: []string{write(t, "broken.json", "{\n \"id\": 7}")}})
	if problems := broken.Problems(); len(problems) != 1 || !strings.Contains(problems[0].Error(), "broken.json:2:") {
		t.Errorf("problems %v, want the place in broken.json", problems)
	}
}

func TestAliases(t *testing.T) {
	cfg := Config{Aliases: []string{write(t, "users.csv", "alias,user\nMaria@Example.com,maria\nmlopez,maria\n")}}
	p := newEnricher(t, cfg).Processor()
	f := func(actor, want, wantAlias string) {
		t.Helper()
		if e := enrichOne(t, p, "actor="+actor); e.Actor != want || e.Attr("actor.alias") != wantAlias {
			t.Errorf("%s: %s %q, want %s %q", actor, e.Actor, e.Attr("actor.alias"), want, wantAlias)
		}
	}
	f("maria@example.com", "maria", "maria@example.com")
	f("MLopez", "maria", "MLopez")
	f("maria", "maria", "")
	f("joe", "joe", "")
}

// TestNothingConfigured holds that an empty configuration tells the scope and changes nothing else.
func TestNothingConfigured(t *testing.T) {
	p := newEnricher(t, Config{}).Processor()
	fields := []string{"title=t", "actor=maria@example.com", "repo=r", "host=h", "db_name=d", "vuln_ids=CVE-2021-44228", "purl=pkg:npm/a@1", "dst_domain=example.com"}
	b := &pipeline.Batch{}
	want := said(newEvent(t, b, fields...))
	if got := said(enrichOne(t, p, fields...)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e := enrichOne(t, p, "src_ip=10.0.0.1"); e.NetScope != pipeline.NetPrivate || e.SrcIP != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("scope %s of %v", e.NetScope, e.SrcIP)
	}
}
