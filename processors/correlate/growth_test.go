package correlate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/detect"
)

// One rule takes all signals from the sample, the other from events of their own, one of them in two parts.
const (
	wholeRule = `
id: W
kind: growth
key: ev.Host
sample:
  when: ev.Type == "db.size"
  value: ev.Value
  series: ev.Attr("db")
  rows: ev.Attr("rows")
  commits: ev.Attr("commits")
  failed_logins: ev.Attr("logins")
  failed_tests: ev.Attr("tests")
  bytes_received: ev.Attr("net")
evidence: {when: ev.Type == "attack"}
`
	partsRule = `
id: W
kind: growth
key: ev.Host
sample: {when: ev.Type == "db.size", value: ev.Value, series: ev.Attr("db")}
readings:
  - {of: rows, when: ev.Type == "metric" && ev.Attr("metric") == "rows", value: ev.Value, series: ev.Attr("db")}
  - {of: commits, when: ev.Type == "metric" && ev.Attr("metric") == "commits", value: ev.Value, series: ev.Attr("db")}
  - {of: failed_logins, when: ev.Type == "metric" && ev.Attr("metric") == "logins", value: ev.Value, series: ev.Attr("db")}
  - {of: failed_tests, when: ev.Type == "metric" && ev.Attr("metric") == "tests", value: ev.Value, series: ev.Attr("db")}
  - {of: bytes_received, when: ev.Type == "metric" && ev.Attr("metric") == "net", value: ev.Value, part: ev.Attr("device")}
evidence: {when: ev.Type == "attack"}
`
)

// days are samples of a database that is flooded on the fourth day: each of a signal's values in turn, by name.
func days(f func(t time.Time, size float64, signals map[string]float64)) {
	rng := rand.New(rand.NewPCG(3, 3))
	size, v := 5e9, map[string]float64{"rows": 1e6, "commits": 1e5, "logins": 50, "tests": 3, "net": 1e9}
	for i := range 4 * 288 {
		rate := 1000 * (1.5 + math.Sin(float64(i)/288*2*math.Pi)) * (0.8 + 0.4*rng.Float64())
		if i > 3*288+100 {
			rate *= math.Exp2(float64(i-3*288-100) / 12)
		}
		size += rate * 200
		v["rows"] += rate
		v["commits"] += rate / 10
		v["net"] += rate * 400
		if rng.IntN(4) == 0 {
			v["logins"]++
		}
		if i == 288 { // a restart
			v["commits"], v["net"] = 10, 1000
		}
		f(at(float64(300*i)), size, v)
	}
}

// TestGrowthTakesAllSignals: rows, commits, failed logins and tests and bytes reach the detector as they are, whether the
// sample has them or events of their own; and with all of them known it needs no attack event to be sure.
func TestGrowthTakesAllSignals(t *testing.T) {
	var want []string
	var whole, parts []pipeline.Event
	direct := detect.NewGrowth(detect.GrowthConfig{})
	warned := false
	days(func(now time.Time, size float64, v map[string]float64) {
		verdict := direct.Observe(detect.GrowthSample{Time: now, Size: size, Rows: v["rows"], Commits: v["commits"], FailedLogins: v["logins"], FailedTests: v["tests"], NetIn: v["net"]})
		want = append(want, fmt.Sprintf("%s %.6f", verdict.Tier, verdict.Score))
		warned = warned || verdict.Tier >= detect.GrowthWarn
		sample := pipeline.Event{Time: now, Type: "db.size", Host: "db-1", Value: size}
		sample.SetAttr("db", "pay")
		all := sample
		all.Attrs = slices.Clone(sample.Attrs)
		for _, name := range []string{"rows", "commits", "logins", "tests", "net"} {
			all.SetAttr(name, fmt.Sprint(v[name]))
			reading := pipeline.Event{Time: now, Type: "metric", Host: "db-1", Value: v[name]}
			reading.SetAttr("metric", name)
			if name == "net" { // an interface that carries a quarter; whose both are, nobody says
				reading.Value = v[name] * 3 / 4
				other := reading
				other.Value = v[name] / 4
				other.Attrs = slices.Clone(reading.Attrs)
				other.SetAttr("device", "eth1")
				parts = append(parts, other)
			} else {
				reading.SetAttr("db", "pay")
			}
			parts = append(parts, reading)
		}
		whole, parts = append(whole, all), append(parts, sample)
	})
	if !warned {
		t.Fatal("the flood is too small to show anything")
	}
	for name, c := range map[string]struct {
		rule   string
		events []pipeline.Event
	}{"by the sample": {wholeRule, whole}, "by readings": {partsRule, parts}} {
		t.Run(name, func(t *testing.T) {
			set := load(t, c.rule)
			e, out := New(set, Config{}), &pipeline.Output{Now: t0}
			var got []string
			fired := 0
			for _, s := range signals(t, set, 0, c.events...) {
				e.Process(&s, out)
			}
			for _, g := range out.Growth {
				got = append(got, fmt.Sprintf("%s %.6f", g.State, g.Score))
			}
			for _, a := range out.Alerts {
				if a.Status == pipeline.StatusFiring {
					fired++
				}
			}
			same := 0
			for i := range min(len(got), len(want)) {
				a, b := got[i], want[i]
				if c.rule == partsRule { // readings count from the series' first sample on: a tick later
					a, _, _ = strings.Cut(a, " ")
					b, _, _ = strings.Cut(b, " ")
				}
				if a == b {
					same++
				}
			}
			if len(got) != len(want) || same < len(want)*999/1000 {
				t.Errorf("%d of %d verdicts are those of the detector alone", same, len(want))
			}
			if fired != 1 {
				t.Errorf("%d alerts without an attack event, want 1: clients write more than any usual cause explains", fired)
			}
		})
	}
}
