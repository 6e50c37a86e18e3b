package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/receive"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// metric is what a registered metric says of itself.
type metric struct {
	help   string
	labels []string
}

var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// metrics returns every metric of ours that some command registers.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	cfg := DefaultConfig()
	enricher, err := enrich.New(cfg.Enrich, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := rule.NewLive(nil, RulesConfig{}.load, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(enricher, rules, correlate.NewMetrics(), newSampleMetric(), pipeline.NewBudget(1, 1))
	pipeline.NewMetrics(reg)
	if _, err := bridge.NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	admin, err := console.New(console.Config{Listen: "127.0.0.1:0", Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Receive.Listen = "127.0.0.1:0"
	cfg.Receive.Routes = []receive.Route{{Path: "/x", Topic: "x", Verify: "none"}}
	receiver, err := receive.New(cfg.Receive, nil, reg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, serve := range []func(context.Context) error{admin.Serve, receiver.Serve} { // gives the address back
		if err := serve(over); err != nil {
			t.Fatal(err)
		}
	}
	ch := make(chan *prometheus.Desc, 1000)
	reg.Describe(ch)
	close(ch)
	all := map[string]metric{}
	for d := range ch {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if !strings.HasPrefix(m[1], "tocsin_") {
			continue
		}
		all[m[1]] = metric{m[2], strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })}
	}
	if len(all) < 20 {
		t.Fatalf("only %d metrics", len(all))
	}
	return all
}

// alertRule is one of deploy/prometheus/rules.yaml, and what its expression asks of metrics of ours.
type alertRule struct {
	name, expr, wait, severity, team, summary string
	asks                                      map[string][]string // metric to the labels that it is filtered by
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var out []alertRule
	groups, _ := deployed(t, "prometheus/rules.yaml")[0]["groups"].([]any)
	for _, g := range groups {
		rules, _ := at(g, "rules").([]any)
		for _, r := range rules {
			a := alertRule{name: fmt.Sprint(at(r, "alert")), expr: fmt.Sprint(at(r, "expr")), severity: fmt.Sprint(at(r, "labels", "severity")),
				team: fmt.Sprint(at(r, "labels", "team")), summary: fmt.Sprint(at(r, "annotations", "summary")), asks: map[string][]string{}}
			if w := at(r, "for"); w != nil {
				a.wait = fmt.Sprint(w)
			}
			e, err := metricsql.Parse(a.expr)
			if err != nil {
				t.Fatalf("%s: %v", a.name, err)
			}
			metricsql.VisitAll(e, func(e metricsql.Expr) {
				m, ok := e.(*metricsql.MetricExpr)
				if !ok {
					return
				}
				for _, filters := range m.LabelFilterss {
					name := filters[0].Value
					for _, suffix := range []string{"_bucket", "_sum", "_count"} {
						name = strings.TrimSuffix(name, suffix)
					}
					a.asks[name] = append(a.asks[name], "")
					for _, f := range filters[1:] {
						a.asks[name] = append(a.asks[name], f.Label)
					}
				}
			})
			out = append(out, a)
		}
	}
	return out
}

// TestPrometheusRules: the expressions are PromQL, ask for metrics and labels that exist, and say what to do to whom.
func TestPrometheusRules(t *testing.T) {
	all := metrics(t)
	rules := alertRules(t)
	if len(rules) < 10 {
		t.Fatalf("only %d rules", len(rules))
	}
	byLabel := regexp.MustCompile(`(?:by|on) \(([a-z, ]+)\)`)
	for _, r := range rules {
		ours := []string{"le"}
		for name, labels := range r.asks {
			m, known := all[name]
			if name == "up" {
				continue
			}
			if !known {
				t.Errorf("%s asks for %s, which nobody registers", r.name, name)
			}
			for _, l := range labels {
				if l != "" && !slices.Contains(m.labels, l) {
					t.Errorf("%s: %s has no label %s", r.name, name, l)
				}
			}
			ours = append(ours, m.labels...)
		}
		for _, m := range byLabel.FindAllStringSubmatch(r.expr, -1) {
			for l := range strings.FieldsFuncSeq(m[1], func(c rune) bool { return c == ',' || c == ' ' }) {
				if !slices.Contains(ours, l) {
					t.Errorf("%s: no metric of it has label %s", r.name, l)
				}
			}
		}
		if len(r.asks) == 0 || r.summary == "" || !slices.Contains([]string{"info", "warning", "critical"}, r.severity) ||
			!slices.Contains([]string{"dev", "sec", "ops", "mon"}, r.team) {
			t.Errorf("%s: severity %s, team %s, summary %q", r.name, r.severity, r.team, r.summary)
		}
	}
}

// units are those that metrics' names end in; what has none is a number of things.
var units = []string{"timestamp_seconds", "seconds", "bytes", "records", "rows", "events", "offset", "entries"}

func metricsDoc(t *testing.T) string {
	all, rules := metrics(t), alertRules(t)
	var b strings.Builder
	b.WriteString("# Metrics\n\n" + generated)
	b.WriteString("Served as `/metrics` on the admin address (`admin.listen`, 127.0.0.1:9410), with Go's and the process's own. " +
		"`tocsin top` shows the most telling ones live.\n\n| metric | labels | unit | meaning | alert |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		unit := "-"
		for _, u := range units {
			if strings.HasSuffix(strings.TrimSuffix(name, "_total"), "_"+u) {
				unit = strings.ReplaceAll(u, "_", ", ")
				break
			}
		}
		var watched []string
		for _, r := range rules {
			if r.asks[name] != nil {
				watched = append(watched, r.name)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.Join(m.labels, ", "), unit, cell(m.help), strings.Join(watched, ", "))
	}
	b.WriteString("\n## Alerts\n\n`deploy/prometheus/rules.yaml` has them; thresholds are starting points.\n\n| alert | when | for | severity, team | what it means |\n|---|---|---|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s, %s | %s |\n", r.name, cell(r.expr), r.wait, r.severity, r.team, cell(r.summary))
	}
	b.WriteString(`
## Why is it lagging?

1. ` + "`tocsin_ingest_lag_offsets`" + ` by topic and partition. One partition only: a hot key, or one instance is slow; all: go on.
2. ` + "`tocsin_ingest_retries_total`" + ` by step. It rises: ClickHouse (insert) or Kafka (commit, publish) refuses. The log says what.
3. ` + "`tocsin_ingest_step_seconds_total`" + ` by step, as ` + "`tocsin top`" + ` shows it: seconds a second, of which each partition has one. insert: ClickHouse is slow; look at
   parts and merges. plan, acknowledge, commit: Kafka is. rule: go on. parse, enrich, append: the work itself; step 5. One chunk among them: [traces](operations.md#traces).
4. ` + "`tocsin_rule_seconds_total`" + ` by rule. One rule with most of the time: ` + "`tocsin rules explain`" + ` says what it does.
5. ` + "`process_cpu_seconds_total`" + ` near the number of cores: add instances, up to the number of partitions.
`)
	return b.String()
}
