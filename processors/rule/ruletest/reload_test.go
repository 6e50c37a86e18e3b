package ruletest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var reloads = flag.Int("reloads", 60, "reloads under load; make reload has 1,000")

const ruleRest = "title: t\nwhy: test\nsubscriptions: [{team: sec, severity: 3}]\nalert: {title: t, summary: s}\n"

// write writes a rule file as an editor does: another file takes the place of the one before.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Two rules that belong together are changed again and again while two partitions are read and a detect side rolls every
// third poll back. Each event is judged by both in the same version, and a rule that stays counts every event.
func TestReloadsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	pair := func(version int) {
		for _, id := range []string{"left", "right"} {
			write(t, dir, id+".yaml", fmt.Sprintf("id: %s\nkind: match\nversion: %d\nkey: ev.Host\nwhen: ev.Type == \"e\" && ev.Value < %d\n%s", id, version, 1e6+version, ruleRest))
		}
	}
	pair(1)
	write(t, dir, "stays.yaml", "id: stays\nkind: threshold\nkey: ev.Host\nwhen: ev.Type == \"e\"\nwindow: 6h\naggregates: {n: count}\nhaving: n >= 1000\n"+ruleRest)
	live, err := newLive(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}

	const perHost, perBatch = 1000, 20
	type poll struct {
		signals []pipeline.Signal
		events  int
	}
	polls := make(chan poll)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	read := make([]int, 2)
	for p := range read {
		workers.Add(1)
		go func() {
			defer workers.Done()
			m := live.NewMatcher()
			for i := 0; ; {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "in", Partition: int32(p)}}
				for range perBatch {
					b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: start.Add(time.Duration(i) * time.Millisecond)})
					e := b.Next(len(b.Records) - 1)
					e.ID, e.Type, e.Host, e.Metric = pipeline.NewID(fmt.Sprint(p), fmt.Sprint(i)), "e", fmt.Sprintf("%d-%d", p, i/perHost), "m"
					i++
				}
				if err := m.Process(context.Background(), b); err != nil {
					t.Error(err)
				}
				read[p] = i
				polls <- poll{b.Signals, perBatch}
			}
		}()
	}
	engine := correlate.New(live.Set(), correlate.Config{})
	engine.Follow(live.Set)
	detected := make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(1, 1))
		var out pipeline.Output
		var failure error
		for p := range polls {
			versions := map[string][]int{}
			for _, s := range p.signals {
				if s.Rule != "stays" {
					versions[s.EventID.String()] = append(versions[s.EventID.String()], s.Version)
				}
			}
			for _, v := range versions {
				if len(v) != 2 || v[0] != v[1] {
					failure = fmt.Errorf("an event is judged by versions %v of the two rules", v)
				}
			}
			if len(versions) != p.events {
				failure = fmt.Errorf("%d of %d events are judged", len(versions), p.events)
			}
			for try := 0; ; try++ {
				out.Reset(start)
				for i := range p.signals {
					engine.Process(&p.signals[i], &out)
				}
				engine.Tick(&out)
				if try == 0 && rng.IntN(3) == 0 {
					engine.Rollback()
					continue
				}
				engine.Commit()
				break
			}
		}
		detected <- failure
	}()
	for n := range *reloads {
		if n%10 == 5 {
			write(t, dir, "right.yaml", "id: right\nkind: match\n")
			live.Look()
			live.Look()
			if live.Problem() == nil {
				t.Error("a broken set is taken")
			}
		}
		pair(n + 2)
		live.Look()
		live.Look()
		if got := live.Set().Rule("left").Version; got != n+2 {
			t.Errorf("version %d is in use, want %d: %v", got, n+2, live.Problem())
		}
	}
	close(stop)
	workers.Wait()
	close(polls)
	if err := <-detected; err != nil {
		t.Error(err)
	}
	stats := engine.Stats()
	if stats.Late+stats.Duplicates+stats.Evicted+stats.Truncated > 0 || int(stats.Signals+stats.Foreign) != 3*(read[0]+read[1]) {
		t.Errorf("%d events: %+v", read[0]+read[1], stats)
	}
	whole := 0
	for p, n := range read {
		for host := range n / perHost {
			whole++
			if lines := engine.Explain("stays", fmt.Sprintf("%d-%d", p, host)); !slices.Contains(lines, "n = 1000") {
				t.Fatalf("host %d-%d: %q", p, host, lines)
			}
		}
	}
	t.Logf("%d reloads under %d events, %d hosts counted, %d signals of versions that were gone", *reloads, read[0]+read[1], whole, stats.Foreign)
}

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func TestBrokenSetIsRefused(t *testing.T) {
	dir := t.TempDir()
	match := func(id, when string) string {
		return "id: " + id + "\nkind: match\nkey: ev.Host\nwhen: " + when + "\n" + ruleRest
	}
	write(t, dir, "a.yaml", match("a", `ev.Type == "a"`))
	core, logged := observer.New(zap.InfoLevel)
	live, err := newLive(dir, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "b.yaml", match("b", `ev.Tipe == "b"`))
	write(t, dir, "c.yaml", match("c", `ev.Type = "c"`))
	before := live.Set()
	live.Look()
	if live.Problem() != nil {
		t.Error("a folder that has just changed is read")
	}
	for range 3 {
		live.Look()
	}
	if live.Set() != before {
		t.Error("a broken set is in use")
	}
	problem := fmt.Sprint(live.Problem())
	for _, want := range []string{"b.yaml:4:", "did you mean", "c.yaml:4:"} {
		if !strings.Contains(problem, want) {
			t.Errorf("the problem lacks %q: %s", want, problem)
		}
	}
	if n := logged.FilterLevelExact(zap.ErrorLevel).Len(); n != 3 {
		t.Errorf("%d errors are logged, want that of the set and one a mistake, once", n)
	}
	expect := func(failed, loaded, refused, rules float64) {
		t.Helper()
		got := metrics(t, live)
		for name, want := range map[string]float64{
			"tocsin_rules_failed": failed, "tocsin_rules_loaded": rules,
			"tocsin_rules_reloads_total loaded": loaded, "tocsin_rules_reloads_total refused": refused,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	}
	expect(1, 0, 1, 1)
	write(t, dir, "b.yaml", match("b", `ev.Type == "b"`))
	write(t, dir, "c.yaml", match("c", `ev.Type == "c"`))
	live.Look()
	live.Look()
	if live.Problem() != nil || len(live.Set().Rules) != 3 {
		t.Errorf("%d rules, %v", len(live.Set().Rules), live.Problem())
	}
	expect(0, 1, 1, 3)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	live.Look()
	if live.Problem() == nil || len(live.Set().Rules) != 3 {
		t.Errorf("without its folder: %d rules, %v", len(live.Set().Rules), live.Problem())
	}
}

// A folder of Kubernetes' ConfigMap holds links into a hidden folder, which is swapped as a whole.
func TestLinkedFolderIsReloaded(t *testing.T) {
	dir := t.TempDir()
	version := func(n int) {
		hidden := filepath.Join(dir, fmt.Sprintf("..v%d", n))
		if err := os.Mkdir(hidden, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, hidden, "a.yaml", fmt.Sprintf("id: a\nversion: %d\nkind: match\nkey: ev.Host\nwhen: ev.Type == \"a\"\n%s", n, ruleRest))
		_ = os.Remove(filepath.Join(dir, "..data")) // there is none at first
		if err := os.Symlink(hidden, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version(1)
	if err := os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	live, err := newLive(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	version(2)
	live.Look()
	live.Look()
	if got := live.Set().Rule("a").Version; got != 2 {
		t.Errorf("version %d, want 2: %v", got, live.Problem())
	}
}

// Lists and exceptions are part of the set: they are reloaded with it, and refused with it.
func TestListsAndExceptionsAreReloaded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "id: a\nkind: match\nkey: ev.Host\nwhen: inList(ev.Host, \"watched\")\n"+ruleRest)
	write(t, dir, "watched.list", "web-1\n")
	live, err := newLive(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	m := live.NewMatcher()
	signals := func(host string) int {
		t.Helper()
		live.Look()
		live.Look()
		b := &pipeline.Batch{Records: []pipeline.Record{{Time: start}}}
		b.Next(0).Host = host
		if err := m.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return len(b.Signals)
	}
	if n := signals("web-2"); n != 0 {
		t.Error("a host that is not in the list is watched")
	}
	write(t, dir, "watched.list", "web-1\nweb-2\n")
	if n := signals("web-2"); n != 1 {
		t.Error("a host that was added is not watched")
	}
	exceptions := func(expires string) {
		write(t, dir, "a.exceptions.yaml", "exceptions: [{id: x, rules: [a], when: 'ev.Host == \"web-2\"', why: w, owner: o, ticket: T-1, expires: "+expires+"}]\n")
	}
	exceptions("2026-12-01")
	if n := signals("web-2") + 10*signals("web-1"); n != 10 {
		t.Error("the exception does not hold, or for all", n)
	}
	if got := metrics(t, live); got["tocsin_exception_hits_total x"] != 1 || got["tocsin_rule_excepted_total a"] != 1 || got["tocsin_exception_expires_timestamp_seconds x"] != 1796083200 {
		t.Errorf("got %v", got)
	}
	exceptions("2026-11-01")
	if n := signals("web-2"); n != 1 {
		t.Error("an exception that has expired holds")
	}
	exceptions("tomorrow")
	if n := signals("web-2"); n != 1 || live.Problem() == nil {
		t.Error("a broken file of exceptions is taken")
	}
}

// What a rule's silence comes from: no candidate at all, or fields that none has carried.
func TestTrafficOfRules(t *testing.T) {
	dir := t.TempDir()
	for id, when := range map[string]string{
		"heard": `ev.Type == "a" && ev.Actor == "bob" && ev.Attr("y") != ""`, "deaf": `ev.Type == "a" && ev.Attr("x") == "1"`, "silent": `ev.Type == "z"`,
	} {
		write(t, dir, id+".yaml", "id: "+id+"\nkind: match\nkey: ev.Host\nwhen: "+when+"\n"+ruleRest)
	}
	live, err := newLive(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	m := live.NewMatcher()
	for range 3 {
		b := &pipeline.Batch{Records: make([]pipeline.Record, 1)}
		for range 100 {
			e := b.Next(0)
			e.Type, e.Actor, e.Host = "a", "bob", "h"
			e.SetAttr("y", "2")
		}
		b.Next(0).Type = "a" // and nothing else
		if err := m.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	got := metrics(t, live)
	for name, want := range map[string]float64{
		"tocsin_rules_events_total":                    303,
		"tocsin_rule_events_total heard":               303,
		"tocsin_rule_events_total silent":              0,
		"tocsin_rule_candidates_total heard":           300,
		"tocsin_rule_evaluated_total heard":            300,
		"tocsin_rule_matched_total heard":              300,
		"tocsin_rule_candidates_total deaf":            0,
		"tocsin_rule_missing_field attributes.x deaf":  1,
		"tocsin_rule_missing_field host deaf":          0,
		"tocsin_rule_missing_field actor heard":        0,
		"tocsin_rule_missing_field attributes.y heard": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got["tocsin_rule_seconds_total heard"] <= 0 {
		t.Error("the rule takes no time")
	}
}

// metrics returns what is collected, by the metric's name and its labels' values in the order of their names.
func metrics(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func newLive(dir string, log *zap.Logger) (*rule.Live, error) {
	return rule.NewLive([]string{dir}, func() (*rule.Set, error) {
		files, err := rule.ReadPaths(dir)
		if err != nil {
			return nil, err
		}
		return rule.Load(files)
	}, log)
}
