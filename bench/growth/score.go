package main

import (
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// A rule is one way to watch a database. Its state is one database's.
type rule interface {
	// observe says whether it alarms now, and the seconds it forecasts until the database is full (0: none).
	observe(s detect.GrowthSample) (alarm bool, eta float64)
}

// line is one alarm line a rule would have printed.
type line struct {
	ts  int64
	eta float64
}

// run gives the alarm lines of a rule over a database, and how many samples it saw: one when it begins, one with the first
// forecast, one every six hours while it lasts.
func run(r rule, db *database) (lines []line, n int) {
	var last int64
	forecast := false
	for s := range db.readings() {
		n++
		alarm, eta := r.observe(s)
		ts := s.Time.Unix()
		if !alarm {
			last, forecast = 0, false
		} else if last == 0 || ts-last >= 6*3600 || !forecast && eta > 0 {
			last, forecast = ts, eta > 0
			lines = append(lines, line{ts, eta})
		}
	}
	return lines, n
}

// readings yields the samples, and with -every those between them: a straight line from one to the next, but over gaps,
// restarts and what shrinks.
func (db *database) readings() iter.Seq[detect.GrowthSample] {
	return func(yield func(detect.GrowthSample) bool) {
		for i, s := range db.samples {
			if i > 0 && *every > 0 {
				a := db.samples[i-1]
				whole := s.Time.Sub(a.Time)
				rises := a.Size > 0 && s.Size >= a.Size && s.Commits >= a.Commits && s.FailedLogins >= a.FailedLogins && s.FailedTests >= a.FailedTests && s.NetIn >= a.NetIn
				for at := *every; rises && whole <= step*time.Second && at < whole; at += *every {
					part := float64(at) / float64(whole)
					between := func(a, b float64) float64 { return math.Floor(a + part*(b-a)) }
					if !yield(detect.GrowthSample{Time: a.Time.Add(at), Size: math.Floor((a.Size+part*(s.Size-a.Size))/db.extent) * db.extent, Rows: between(a.Rows, s.Rows),
						Commits: between(a.Commits, s.Commits), FailedLogins: between(a.FailedLogins, s.FailedLogins),
						FailedTests: between(a.FailedTests, s.FailedTests), NetIn: between(a.NetIn, s.NetIn)}) {
						return
					}
				}
			}
			if !yield(s) {
				return
			}
		}
	}
}

// tally gathers the figures of one rule over many databases.
type tally struct {
	rule                 string
	attacks, hit, timely int
	dbMonths             float64
	falseAlarms          int
	delayDoublings       []float64
	delayMinutes         map[string][]float64 // by kind
	pastVisible, left    []float64            // doublings
	etaErr               []float64
	kindHit, kindTimely  map[string]int
	kindAll              map[string]int
	falseBy              map[string]int
	nsPerSample          float64
	misses               []string
	falses               []string
}

func newTally(rule string) *tally {
	return &tally{rule: rule, delayMinutes: map[string][]float64{}, kindHit: map[string]int{}, kindTimely: map[string]int{}, kindAll: map[string]int{}, falseBy: map[string]int{}}
}

const freeDays = 5

// add scores the alarm lines of one database.
func (t *tally) add(db *database, lines []line) {
	if len(db.samples) == 0 {
		return
	}
	t0, t1 := db.samples[0].Time.Unix(), db.samples[len(db.samples)-1].Time.Unix()
	free := t0 + freeDays*86400
	t.dbMonths += float64(t1-free) / (30.44 * 86400)
	for _, a := range db.attacks {
		t.attacks++
		t.kindAll[a.Kind]++
		i := slices.IndexFunc(lines, func(l line) bool { return l.ts >= a.Start && l.ts <= a.End })
		delay, minutes := math.Inf(1), math.Inf(1)
		if i >= 0 {
			at := lines[i].ts
			t.hit++
			t.kindHit[a.Kind]++
			minutes = float64(at-a.Start) / 60
			timely := a.HalfHeadroom == 0 || at <= a.HalfHeadroom
			if a.Doubling > 0 {
				delay = float64(at-a.Start) / a.Doubling
				timely = a.Full == 0 || float64(a.Full-at) >= 2*a.Doubling
				if a.Full != 0 {
					t.left = append(t.left, float64(a.Full-at)/a.Doubling)
				}
				if a.Visible != 0 {
					t.pastVisible = append(t.pastVisible, float64(at-a.Visible)/a.Doubling)
				}
			}
			if timely {
				t.timely++
				t.kindTimely[a.Kind]++
			} else {
				t.misses = append(t.misses, fmt.Sprintf("late %s %s +%.1f doublings", db.name, a.Kind, delay))
			}
			if a.Full != 0 {
				if e := slices.IndexFunc(lines, func(l line) bool { return l.ts >= a.Start && l.ts < a.Full && l.eta > 0 }); e >= 0 {
					t.etaErr = append(t.etaErr, math.Abs(math.Log2(lines[e].eta/float64(a.Full-lines[e].ts))))
				}
			}
		} else {
			t.misses = append(t.misses, fmt.Sprintf("miss %s %s at %d doubling %.0f s", db.name, a.Kind, a.Start, a.Doubling))
		}
		if a.Doubling > 0 {
			t.delayDoublings = append(t.delayDoublings, delay)
		}
		t.delayMinutes[a.Kind] = append(t.delayMinutes[a.Kind], minutes)
	}
	var last int64
	for _, l := range lines {
		if l.ts < free || slices.ContainsFunc(db.attacks, func(a attack) bool { return l.ts >= a.Start && l.ts <= a.Clear }) {
			continue
		}
		if last == 0 || l.ts-last >= 12*3600 {
			t.falseAlarms++
			why := "normal life"
			for _, e := range db.benign {
				if l.ts >= e.Start && l.ts <= e.End+3600 {
					why = e.Kind
				}
			}
			t.falseBy[why]++
			t.falses = append(t.falses, fmt.Sprintf("false %s %d %s", db.name, l.ts, why))
		}
		last = l.ts
	}
}

func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Clone(x)
	slices.Sort(x)
	return x[int(q*float64(len(x)-1)+0.5)]
}

const tableHead = "| rule | recall | timely | false alarms a db-month | delay, doublings | cred. stuffing, min | past visible | left | forecast error | ns a sample |\n|---|---|---|---|---|---|---|---|---|---|\n"

func (t *tally) row() string {
	pct := func(n int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(t.attacks, 1))) }
	return fmt.Sprintf("| %s | %s | %s | %.3f | %.2f | %.0f | %.2f | %.2f | %.2f | %.0f |\n", t.rule, pct(t.hit), pct(t.timely),
		float64(t.falseAlarms)/math.Max(t.dbMonths, 1e-9), quantile(t.delayDoublings, 0.5), quantile(t.delayMinutes["cred_stuffing"], 0.5),
		quantile(t.pastVisible, 0.5), quantile(t.left, 0.5), quantile(t.etaErr, 0.5), t.nsPerSample)
}

// kinds says per kind of attack how many were alarmed and timely, and what the false alarms were.
func (t *tally) kinds() string {
	var b strings.Builder
	for _, k := range sortedKeys(t.kindAll) {
		fmt.Fprintf(&b, "  %-14s %3d attacks, %3d alarmed, %3d timely, median %.0f min\n", k, t.kindAll[k], t.kindHit[k], t.kindTimely[k], quantile(t.delayMinutes[k], 0.5))
	}
	for _, k := range sortedKeys(t.falseBy) {
		fmt.Fprintf(&b, "  false in %-14s %d\n", k, t.falseBy[k])
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	k := make([]string, 0, len(m))
	for s := range m {
		k = append(k, s)
	}
	slices.Sort(k)
	return k
}

// cpuTime is what this process used; the machine may be shared.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano())
}

// measure runs one rule over worlds.
func measure(name string, newRule func(*database) rule, worlds []*world) *tally {
	t, n, spent := newTally(name), 0, time.Duration(0)
	for _, w := range worlds {
		for _, db := range w.dbs {
			r := newRule(db)
			start := cpuTime()
			lines, samples := run(r, db)
			spent += cpuTime() - start
			n += samples
			t.add(db, lines)
		}
	}
	t.nsPerSample = float64(spent.Nanoseconds()) / float64(max(n, 1))
	return t
}

func printTable(w io.Writer, title string, ts []*tally) {
	fmt.Fprintf(w, "%s: %d attacks, %.1f database-months\n\n%s", title, ts[0].attacks, ts[0].dbMonths, tableHead)
	for _, t := range ts {
		fmt.Fprint(w, t.row())
	}
	fmt.Fprintln(w)
}
