package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/processors/detect"
)

func TestTallyScoresAlarmLines(t *testing.T) {
	const day = 86400
	db := &database{name: "db", samples: []detect.GrowthSample{{Time: unix(0)}, {Time: unix(35.44 * day)}},
		attacks: []attack{{event: event{Kind: "exp_flood", Start: 10 * day, End: 10*day + 10_000}, Visible: 10*day + 3000,
			Full: 10*day + 10_000, Clear: 12 * day, Doubling: 1000}}}
	for _, c := range []struct {
		name                    string
		lines                   []line
		hit, timely, falses     int
		doublings, left, etaErr float64
	}{
		{"in time, with a forecast of twice the truth", []line{{10*day + 4000, 12_000}}, 1, 1, 0, 4, 6, 1},
		{"less than two doublings before full", []line{{10*day + 8500, 0}}, 1, 0, 0, 8.5, 1.5, math.NaN()},
		{"during the clean-up only", []line{{11 * day, 0}}, 0, 0, 0, math.Inf(1), math.NaN(), math.NaN()},
		{"in the free days", []line{{4 * day, 0}}, 0, 0, 0, math.Inf(1), math.NaN(), math.NaN()},
		{"two false ones in twelve hours are one", []line{{6 * day, 0}, {6*day + 11*3600, 0}, {8 * day, 0}}, 0, 0, 2, math.Inf(1), math.NaN(), math.NaN()},
	} {
		s := newTally("")
		s.add(db, c.lines)
		got := fmt.Sprint(s.hit, s.timely, s.falseAlarms, quantile(s.delayDoublings, 0.5), quantile(s.left, 0.5), quantile(s.etaErr, 0.5))
		if want := fmt.Sprint(c.hit, c.timely, c.falses, c.doublings, c.left, c.etaErr); got != want {
			t.Errorf("%s: hit, timely, false alarms, doublings, left, forecast error are %s, want %s", c.name, got, want)
		}
		if math.Abs(s.dbMonths-1) > 1e-9 {
			t.Errorf("%s: %v database-months, want 1", c.name, s.dbMonths)
		}
	}
}

func TestWorldComesFromItsSeedAlone(t *testing.T) {
	a, b, c := newWorld(7), newWorld(7), newWorld(8)
	text := func(w *world) string { return fmt.Sprint(w.dbs[3].samples[:200], w.dbs[3].attacks, w.dbs[3].benign) }
	if text(a) != text(b) {
		t.Error("two worlds of one seed differ")
	}
	if text(a) == text(c) {
		t.Error("two seeds give one world")
	}
}

// RunGrowth writes the lines the scorer scores.
func TestRunGrowthWritesTheLinesThatAreScored(t *testing.T) {
	w := newWorld(3)
	type entry struct {
		DB       string  `json:"db"`
		Capacity float64 `json:"capacity_bytes"`
		Extent   float64 `json:"quantum_bytes"`
	}
	var list []entry
	var in, want, got bytes.Buffer
	for _, db := range w.dbs[:6] {
		list = append(list, entry{db.name, db.capacity, db.extent})
		for _, s := range db.samples {
			fmt.Fprintf(&in, "%d,%s,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f\n", s.Time.Unix(), db.name, s.Size, s.Rows, s.Commits, s.FailedLogins, s.FailedTests, s.NetIn)
		}
		lines, _ := run(newOurs(0.5)(db), db)
		for _, l := range lines {
			fmt.Fprintf(&want, "%d,%s", l.ts, db.name)
			if l.eta > 0 {
				fmt.Fprintf(&want, ",%.0f", l.eta)
			}
			want.WriteByte('\n')
		}
	}
	dbs, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := detect.RunGrowth(&in, &got, dbs); err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() || !strings.Contains(want.String(), ",") {
		t.Errorf("RunGrowth wrote\n%swant\n%s", got.String(), want.String())
	}
}

// The targets, on two worlds nothing was tuned on and, where TOCSIN_GROWTH_DATA names them, on the samples.
func TestTargets(t *testing.T) {
	sets := map[string][]*world{"generated": {newWorld(9001), newWorld(9002)}}
	if dir := os.Getenv("TOCSIN_GROWTH_DATA"); dir != "" {
		worlds, _, err := readWorlds(dir)
		if err != nil {
			t.Fatal(err)
		}
		sets["samples"] = worlds
	}
	for name, worlds := range sets {
		s := measure(name, newOurs(0.5), worlds)
		t.Logf("%s: %s%s", name, s.row(), s.kinds())
		// Two worlds are 24 database-months: 0.10 would be 2.4 false alarms, so allow for chance.
		if timely := float64(s.timely) / float64(s.attacks); timely < 0.9 || float64(s.falseAlarms) > math.Ceil(0.2*s.dbMonths) {
			t.Errorf("%s: %.1f %% timely with %d false alarms in %.1f database-months", name, 100*timely, s.falseAlarms, s.dbMonths)
		}
		if d, e := quantile(s.delayDoublings, 0.5), quantile(s.etaErr, 0.5); d > 6 || e > 0.4 {
			t.Errorf("%s: median delay %.1f doublings, forecast error %.2f", name, d, e)
		}
	}
}
