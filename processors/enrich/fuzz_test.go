package enrich

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// FuzzTables reads any bytes as each kind of table, as CSV and as YAML. A table that is taken serves an event; one that is
// refused says which file is wrong.
func FuzzTables(f *testing.F) {
	for i, text := range []string{
		"id,owner,reason,project,since\nOO-1,sec,why,pay*,2026-11-23\n",
		"cidr,name,private,proxy\n10.0.0.0/8,office,true,false\n2001:db8::/32,x,no,yes\n",
		"kind,name,project,team\nrepo,github.com/acme/*,shop,dev\n",
		"alias,user\n\"a, b\",ann\n",
		"\x00\x01",
		"198.51.100.0/24 remark\nevil.example,\n# none\n",
		`{"dateReleased":"2026-01-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2026-1","dueDate":"2026-02-01"}]}`,
		"#model_version:v1,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1,0.5,0.9\n",
		"- {id: OO-1, owner: sec, reason: why, project: p}\n- {alias: a, user: [x]}\n",
		"a: &a [*a, *a]\n<<: *a\n",
	} {
		f.Add(uint8(i), false, []byte(text))
		f.Add(uint8(i), true, []byte(text))
	}
	all := (&Config{OptOut: []string{"x"}, Networks: []string{"x"}, Assets: []string{"x"}, Aliases: []string{"x"}, GeoIP: []string{"x"},
		Threats: []ThreatList{{List: "l", File: "x"}}, KEV: "x", EPSS: "x", OSV: []string{"x"}}).tables()
	f.Fuzz(func(t *testing.T, kind uint8, asYAML bool, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		path := "table.csv"
		if asYAML {
			path = "table.yaml"
		}
		tab := all[int(kind)%len(all)]
		p, err := tab.read([]*file{{path, data}})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error does not name the file: %v", tab.name, err)
			}
			return
		}
		if n, _ := p.size(); n < 0 {
			t.Errorf("%s: %d entries", tab.name, n)
		}
		en, err := New(Config{}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		next := *en.current.Load()
		p.install(&next)
		en.current.Store(&next)
		b := &pipeline.Batch{}
		newEvent(t, b, "actor=a", "repo=github.com/acme/x", "src_ip=198.51.100.7", "dst_ip=10.0.0.1", "dst_domain=evil.example",
			"vuln_ids=CVE-2026-1", "project=p", "attributes."+forwardedFor+"=1.2.3.4")
		if err := en.Processor().Process(context.Background(), b); err != nil {
			t.Error(err)
		}
	})
}
