package rule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/tocsin-project/tocsin/pipeline"
)

// words are few, so that conditions and events meet.
var words = []string{"", "a", "ab", "abc", "root", "web-1", "auth.failed", "auth.success", "finding.blocked", "pkg:gem/rack@2.2.3", "203.0.113.9", "für Übel", "x|y", "true"}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

// randomAtom writes a condition of each form that a rule may have.
func randomAtom(rng *rand.Rand) string {
	text := pick(rng, "ev.Type", "ev.Actor", "ev.Host", "ev.Outcome", "ev.Project", "ev.Purl", `ev.Attr("forced")`, `ev.Attr("k")`)
	w := fmt.Sprintf("%q", pick(rng, words...))
	switch rng.IntN(20) {
	case 0, 1, 2, 3:
		return text + " == " + w
	case 4:
		return w + " == " + text
	case 5, 6:
		return text + " != " + w
	case 7:
		return text + " startsWith " + w
	case 8:
		return text + " endsWith " + w
	case 9:
		return text + " contains " + w
	case 10:
		return text + " in [" + w + ", " + fmt.Sprintf("%q", pick(rng, words...)) + "]"
	case 11:
		return text + " matches " + pick(rng, `"^a"`, `"b.?c"`, `"(root|web)"`, `"rack@2"`)
	case 12:
		return "ev.Severity " + pick(rng, "==", "!=", "<", "<=", ">", ">=") + " " + fmt.Sprint(rng.IntN(7))
	case 13:
		return fmt.Sprint(rng.IntN(3)) + " " + pick(rng, "==", "<", ">=") + " ev.Value"
	case 14:
		return fmt.Sprintf("ev.HasLabel(%q)", pick(rng, "chaos:", "chaos:1", "flaky"))
	case 15:
		return `inCIDR(ev.SrcIP, "203.0.113.0/28", "10.0.0.0/8", "2001:db8::/32")`
	case 16:
		return w + " in ev.Labels"
	case 17:
		return "lower(" + text + ") == " + w
	case 18:
		return pick(rng, `any(ev.Labels, # startsWith "chaos")`, `len(ev.Vulns) > 0`, `net(ev.SrcIP, 16) == "203.0.0.0/16"`, `ip(ev.SrcIP) == "203.0.113.9"`, `firstOf(ev.Actor, ev.Host) == "root"`)
	}
	return pick(rng, `ev.Vulns[0] == "CVE-1"`, "ev.SrcIP.IsPrivate()", `(ev.Severity > 2 ? ev.Actor : ev.Host) == "root"`, "true", "false")
}

func randomCondition(rng *rand.Rand, depth int) string {
	if depth == 0 || rng.IntN(4) == 0 {
		return randomAtom(rng)
	}
	switch rng.IntN(5) {
	case 0:
		return "!(" + randomCondition(rng, depth-1) + ")"
	case 1:
		return "(" + randomCondition(rng, depth-1) + " || " + randomCondition(rng, depth-1) + ")"
	}
	return "(" + randomCondition(rng, depth-1) + " && " + randomCondition(rng, depth-1) + ")"
}

func randomEvent(rng *rand.Rand, e *pipeline.Event) {
	w := func() string { return pick(rng, words...) }
	e.Type, e.Actor, e.Host, e.Outcome, e.Project, e.Purl = w(), w(), w(), w(), w(), w()
	e.Severity, e.Value = uint8(rng.IntN(7)), float64(rng.IntN(4))
	e.SetAttr("forced", w())
	e.SetAttr("k", w())
	if rng.IntN(2) == 0 {
		e.Labels = append(e.Labels, pick(rng, "chaos:1", "flaky", "a"))
	}
	if rng.IntN(2) == 0 {
		e.Vulns = append(e.Vulns, pick(rng, "CVE-1", "CVE-2"))
	}
	if rng.IntN(3) > 0 {
		e.SrcIP = netip.MustParseAddr(pick(rng, "203.0.113.9", "::ffff:203.0.113.9", "10.1.2.3", "2001:db8::1", "203.0.113.77"))
	}
}

const minimal = "title: t\nwhy: w\nsubscriptions: [{team: sec, severity: 4}]\nalert: {title: t, summary: s}\n"

// matchRule is a match rule with a condition.
func matchRule(id, when string) File {
	return File{id + ".yaml", []byte("id: " + id + "\nkind: match\nkey: ip(ev.SrcIP) + \"|k\"\nwhen: |\n  " + when + "\n" + minimal)}
}

// The index, the trees and the shared atoms must say what expr says when it runs every whole expression on every event,
// errors included.
func TestMatcherEqualsFullScan(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var files []File
		var programs []*vm.Program
		for i := range 60 {
			when := randomCondition(rng, 3)
			files = append(files, matchRule(fmt.Sprintf("R%03d", i), when))
			p, err := expr.Compile(when, append(exprOptions(), expr.Optimize(false))...) // folding "fails || true" to true is not evaluating it
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, when, err)
			}
			programs = append(programs, p)
		}
		set, err := Load(files)
		if err != nil {
			t.Fatal(err)
		}
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "t"}}
		for i := range 100 {
			b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: time.Unix(int64(i), 0)})
		}
		var want []string
		errs := make([]uint64, len(programs))
		for i := range 200 {
			e := b.Next(i / 2)
			randomEvent(rng, e)
			for n, p := range programs {
				got, err := expr.Run(p, &env{e})
				if err != nil {
					errs[n]++
				} else if got.(bool) {
					want = append(want, fmt.Sprintf("%d R%03d", i/2, n))
				}
			}
		}
		m := set.NewMatcher()
		if err := m.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		var got []string
		seq := map[int64]uint32{}
		for _, s := range b.Signals {
			got = append(got, fmt.Sprintf("%d %s", s.Offset, s.Rule))
			if s.Seq != seq[s.Offset] {
				t.Fatalf("seed %d: signal of record %d has number %d, want %d", seed, s.Offset, s.Seq, seq[s.Offset])
			}
			seq[s.Offset]++
		}
		if !slices.Equal(got, want) {
			for i := range got {
				if i >= len(want) || got[i] != want[i] {
					n := min(i, len(want)-1)
					var rule int
					fmt.Sscanf(want[n][strings.Index(want[n], "R"):], "R%d", &rule)
					t.Fatalf("seed %d: signal %d is %s, want %s: %s", seed, i, got[i], want[n], files[rule].Data)
				}
			}
			t.Fatalf("seed %d: %d signals, want %d", seed, len(got), len(want))
		}
		for n := range programs {
			// The index may spare a rule an event on which it would fail.
			if c := m.Counts(n); c.Errors > errs[n] {
				t.Errorf("seed %d, %s: %d errors, the full scan has %d", seed, files[n].Data, c.Errors, errs[n])
			}
		}
	}
}

func process(t testing.TB, files []File, events ...pipeline.Event) (*Matcher, []pipeline.Signal) {
	t.Helper()
	set, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "t"}, Records: make([]pipeline.Record, 1)}
	for _, e := range events {
		into := b.Next(0)
		labels := e.Labels
		into.Type, into.Actor, into.Host, into.SrcIP, into.Labels = e.Type, e.Actor, e.Host, e.SrcIP, labels
	}
	m := set.NewMatcher()
	if err := m.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return m, b.Signals
}

func TestMatcherSkipsThePlayground(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.1")
	here, there := matchRule("R1", "true"), matchRule("R2", "true")
	there.Data = append(there.Data, "playground: true\n"...)
	_, got := process(t, []File{here, there}, pipeline.Event{SrcIP: addr}, pipeline.Event{SrcIP: addr, Labels: []string{"playground"}})
	var rules []string
	for _, s := range got {
		rules = append(rules, s.Rule)
	}
	if want := []string{"R1", "R2", "R2"}; !slices.Equal(rules, want) {
		t.Errorf("got signals of %v, want %v", rules, want)
	}
}

func TestMatcherWantsAKey(t *testing.T) {
	f := File{"R.yaml", []byte("id: R\nkind: match\nwhen: ev.Type == \"x\"\nkey: [ev.Actor, ev.Host]\n" + minimal)}
	m, got := process(t, []File{f},
		pipeline.Event{Type: "x", Actor: "a|b", Host: "c"}, pipeline.Event{Type: "x", Actor: "a", Host: "b|c"},
		pipeline.Event{Type: "x", Actor: "a"}, pipeline.Event{Type: "x", Actor: "a", Host: strings.Repeat("h", 500)},
		pipeline.Event{Type: "x", Actor: "a", Host: strings.Repeat("h", 501)})
	keys := map[string]bool{}
	for _, s := range got {
		keys[s.Key] = true
		if len(s.Key) > maxKeyBytes {
			t.Errorf("key of %d bytes", len(s.Key))
		}
	}
	if len(got) != 4 || len(keys) != 4 || m.Counts(0).Keyless != 1 {
		t.Errorf("got %d signals of %d keys, %d without a key; want 4, 4 and 1", len(got), len(keys), m.Counts(0).Keyless)
	}
}

func TestMatcherCountsErrors(t *testing.T) {
	m, got := process(t, []File{matchRule("R1", `ev.Vulns[3] == "x"`), matchRule("R2", `true`)}, pipeline.Event{SrcIP: netip.MustParseAddr("10.0.0.1")})
	if len(got) != 1 || got[0].Rule != "R2" || m.Counts(0).Errors != 1 {
		t.Errorf("got %v and %d errors, want R2 and 1 error", got, m.Counts(0).Errors)
	}
}

// corpus makes n rules over the types of events as a library has them, and events of which most match nothing.
func corpus(n int) (files []File, b *pipeline.Batch) {
	types := []string{"auth.failed", "auth.success", "http.request", "net.flow", "dns.query", "process.exec", "component.added", "vulnerability.found", "pipelinerun.finished", "log"}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		when := fmt.Sprintf(`ev.Type == %q && `, types[i%len(types)])
		switch (i + i/len(types)) % 5 { // each type has rules of every form
		case 0:
			when += fmt.Sprintf(`ev.Actor == "user-%d" && ev.Severity >= 3`, i)
		case 1:
			when += fmt.Sprintf(`ev.Title contains "pattern-%d"`, i)
		case 2:
			when += fmt.Sprintf(`ev.Attr("process.name") in ["tool-%d", "tool-%d.exe"] && !ev.HasLabel("chaos:")`, i, i)
		case 3:
			when += fmt.Sprintf(`ev.Host startsWith "node-%d-" && inCIDR(ev.SrcIP, "203.0.113.0/28")`, i)
		case 4:
			when += fmt.Sprintf(`ev.DstDomain endsWith ".bad-%d.example" && ev.Outcome == "success"`, i)
		}
		files = append(files, matchRule(fmt.Sprintf("R%04d", i), when))
	}
	b = &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "t"}}
	for i := range 1000 {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: time.Unix(int64(i), 0)})
	}
	for i := range 1000 {
		e := b.Next(i)
		e.Type, e.Source = types[rng.IntN(len(types))], "source"
		e.Actor, e.Host = fmt.Sprintf("user-%d", 10_000+rng.IntN(500)), fmt.Sprintf("node-%d", rng.IntN(100))
		e.Title = fmt.Sprintf("the request of user %d to /path/%d/index.html was answered with pattern %d", rng.IntN(100), rng.IntN(1000), rng.IntN(1000))
		e.DstDomain, e.Outcome, e.Severity = "api.example.com", "success", uint8(rng.IntN(5))
		e.SrcIP = netip.AddrFrom4([4]byte{10, byte(i), 1, 1})
		e.SetAttr("process.name", "sshd")
		e.SetAttr("http.request.method", "GET")
		e.SetAttr("url.path", "/path/index.html")
	}
	return files, b
}

func TestCandidatesAreFew(t *testing.T) {
	files, b := corpus(1000)
	set, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	m := set.NewMatcher()
	if err := m.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	var candidates uint64
	for i := range set.Rules {
		candidates += m.Counts(i).Candidates
	}
	if mean := float64(candidates) / 1000; mean > 40 {
		t.Errorf("%.1f candidates an event of 1000 rules, want 40 (4 %%) or fewer", mean)
	}
	if allocs := testing.AllocsPerRun(10, func() { b.Signals = b.Signals[:0]; m.Process(context.Background(), b) }); allocs > 5*1000 {
		t.Errorf("%.0f allocations for 1000 events that match nothing", allocs)
	} else {
		events, programs := m.Events()
		t.Logf("%.2f candidates, %.3f runs of expr, %.3f allocations an event", float64(candidates)/1000, float64(programs)/float64(events), allocs/1000)
	}
}

func BenchmarkMatcher(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			files, batch := corpus(n)
			set, err := Load(files)
			if err != nil {
				b.Fatal(err)
			}
			m := set.NewMatcher()
			b.ReportAllocs()
			for b.Loop() {
				batch.Signals = batch.Signals[:0]
				if err := m.Process(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Events)), "ns/event")
		})
	}
}
