// Command rules prints what the matcher costs by the number of rules, side by side: `go run ./bench/rules` from the top of
// the repository.
//
// One worker on one core takes the corpus' records in pieces, as the pipeline does: each piece is parsed, and then judged.
// Both are timed piece by piece, by what the process had of its processor; each figure is the sum over the pieces of each one's
// median over the rounds, so that what else runs on the machine hardly shows. The numbers of rules take turns within a round.
// Naive is every rule's whole expression, compiled by expr, run on every event by one virtual machine that is used again.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var (
	rounds  = flag.Int("rounds", 15, "times that each piece is judged; medians are printed")
	pieces  = flag.Int("pieces", 40, "pieces of 256 records")
	profile = flag.String("cpuprofile", "", "file for a profile of the most rules alone, for go tool pprof")
	show    = flag.Int("show", 0, "print the most rules whose steps the index gives out most often, and how often each matched")
)

// counts are the numbers of rules.
var counts = []int{10, 100, 1000, 3000}

// pieceRecords is as many as the pipeline's worker takes at a time.
const pieceRecords = 256

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
}

// contender judges pieces by one number of rules.
type contender struct {
	rules   int
	set     *rule.Set
	timed   *rule.Matcher     // reports to the metrics, as the pipeline's do
	times   [][]time.Duration // by piece, of judging alone
	matcher *rule.Matcher     // of which counts are taken

	candidates        []int // of each event, sorted
	signals, programs int
	allocs            float64 // an event, of events that match nothing
	naive             float64 // nanoseconds an event
}

func run(w io.Writer) error {
	parser, err := parse.New(parse.Config{FingerprintKey: "bench"})
	if err != nil {
		return err
	}
	all := make([][]pipeline.Record, *pieces)
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range *pieces * pieceRecords {
		t := start.Add(time.Duration(i) * time.Millisecond)
		all[i/pieceRecords] = append(all[i/pieceRecords], pipeline.Record{Offset: int64(i), Time: t, Value: corpus.Record(i, t)})
	}
	var cs []*contender
	for _, n := range counts {
		live, err := rule.NewLive(nil, func() (*rule.Set, error) { return rule.Load(corpus.Files(corpus.Rules(n))) }, zap.NewNop())
		if err != nil {
			return err
		}
		cs = append(cs, &contender{rules: n, set: live.Set(), timed: live.NewMatcher(), matcher: live.Set().NewMatcher(), times: make([][]time.Duration, len(all))})
	}
	b := &pipeline.Batch{}
	load := func(piece int) error {
		b.Reset()
		b.Records = append(b.Records, all[piece]...)
		return parser.Process(context.Background(), b)
	}
	if *profile != "" {
		return profiled(cs[len(cs)-1], load, b)
	}
	events := 0
	for p := range all { // counts, and what is learnt of the events
		if err := load(p); err != nil {
			return err
		}
		if len(b.Failures) > 0 {
			return fmt.Errorf("a record is refused: %s", b.Failures[0].Reason)
		}
		events += len(b.Events)
		for _, c := range cs {
			matched, err := c.count(b)
			if err != nil {
				return err
			}
			if p > 0 {
				continue // one piece tells how slow naive is
			}
			var want int
			if want, c.naive, err = naive(corpus.Rules(c.rules), b.Events); err != nil {
				return err
			}
			if matched != want {
				return fmt.Errorf("%d rules: %d matches, expr finds %d", c.rules, matched, want)
			}
		}
	}
	if *show > 0 {
		return showRules(w, cs[len(cs)-1], events)
	}
	parsing := make([][]time.Duration, len(all))
	for round := range *rounds {
		for p := range all {
			for i := range cs {
				c := cs[(i+round)%len(cs)]
				began := used()
				if err := load(p); err != nil {
					return err
				}
				parsing[p] = append(parsing[p], used()-began)
				began = used()
				if err := c.timed.Process(context.Background(), b); err != nil {
					return err
				}
				c.times[p] = append(c.times[p], used()-began)
			}
		}
	}
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	fmt.Fprintf(w, "go run ./bench/rules; %s %s/%s; commit %s, one core; %d events, medians of %d rounds\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.TrimSpace(string(commit)), events, *rounds)
	parse := nanoseconds(parsing, events)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "rules\tns/event\tx of 10 rules\tparsed and judged\tx of 10 rules\tcandidates: mean\tp95\tp95, % of rules\texpr runs/event\tsignals/event\tallocs/event without a match\tnaive expr ns/event\tnaive/ours\t")
	for _, c := range cs {
		ns, first := nanoseconds(c.times, events), nanoseconds(cs[0].times, events)
		p95 := c.candidates[len(c.candidates)*95/100]
		sum := 0
		for _, n := range c.candidates {
			sum += n
		}
		fmt.Fprintf(table, "%d\t%.0f\t%.2f\t%.0f\t%.2f\t%.2f\t%d\t%.2f\t%.4f\t%.4f\t%.2f\t%.0f\t%.0f\t\n", c.rules, ns, ns/first, parse+ns, (parse+ns)/(parse+first), float64(sum)/float64(events),
			p95, 100*float64(p95)/float64(c.rules), float64(c.programs)/float64(events), float64(c.signals)/float64(events), c.allocs, c.naive, c.naive/ns)
	}
	return table.Flush()
}

// nanoseconds returns what an event costs, of the times of all pieces.
func nanoseconds(pieces [][]time.Duration, events int) float64 {
	var sum time.Duration
	for _, times := range pieces {
		slices.Sort(times)
		sum += times[len(times)/2]
	}
	return float64(sum.Nanoseconds()) / float64(events)
}

// count judges the piece's events one by one, and notes what that took but for time. It returns how often a rule matched.
func (c *contender) count(b *pipeline.Batch) (int, error) {
	counted := func() (candidates, matched uint64) {
		for i := range c.set.Rules {
			n := c.matcher.Counts(i)
			candidates, matched = candidates+n.Candidates, matched+n.Matched
		}
		return candidates, matched
	}
	quiet := pipeline.Batch{TopicPartition: b.TopicPartition, Records: b.Records}
	_, programs := c.matcher.Events()
	before, from := counted()
	for i := range b.Events {
		one := pipeline.Batch{TopicPartition: b.TopicPartition, Records: b.Records, Events: b.Events[i : i+1]}
		if err := c.matcher.Process(context.Background(), &one); err != nil {
			return 0, err
		}
		after, _ := counted()
		c.candidates = append(c.candidates, int(after-before))
		before = after
		c.signals += len(one.Signals)
		if len(one.Signals) == 0 {
			quiet.Events = append(quiet.Events, b.Events[i])
		}
	}
	_, to := counted()
	_, now := c.matcher.Events()
	c.programs += int(now - programs)
	slices.Sort(c.candidates)
	var mallocs, then runtime.MemStats
	runtime.ReadMemStats(&mallocs)
	if err := c.matcher.Process(context.Background(), &quiet); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&then)
	c.allocs = max(c.allocs, float64(then.Mallocs-mallocs.Mallocs)/float64(max(len(quiet.Events), 1)))
	return int(to - from), nil
}

// environment is what expr sees of an event.
type environment struct {
	Ev *pipeline.Event `expr:"ev"`
}

// naive runs all rules on all events. It returns how often one matched, and the nanoseconds that an event takes.
func naive(rules []corpus.Rule, events []pipeline.Event) (matched int, nanoseconds float64, err error) {
	options := []expr.Option{expr.Env(environment{}), expr.AsBool(), expr.Function("inCIDR", func(args ...any) (any, error) {
		for _, network := range args[1:] {
			p, err := netip.ParsePrefix(network.(string))
			if err != nil || p.Contains(args[0].(netip.Addr).Unmap()) {
				return err == nil, err
			}
		}
		return false, nil
	}, new(func(netip.Addr, string, ...string) bool))}
	programs := make([]*vm.Program, len(rules))
	for i, r := range rules {
		if programs[i], err = expr.Compile(r.When, options...); err != nil {
			return 0, 0, err
		}
	}
	var machine vm.VM
	var env environment
	began := used()
	for i := range events {
		env.Ev = &events[i]
		for _, p := range programs {
			result, err := machine.Run(p, &env)
			if err != nil {
				return 0, 0, err
			}
			if result.(bool) {
				matched++
			}
		}
	}
	return matched, float64((used() - began).Nanoseconds()) / float64(len(events)), nil
}

// used returns the processor time that the process has used.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: " + err.Error()) // the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// profiled judges one piece for a few seconds.
func profiled(c *contender, load func(int) error, b *pipeline.Batch) error {
	file, err := os.Create(*profile)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := load(0); err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	for began := time.Now(); time.Since(began) < 3*time.Second; {
		b.Signals = b.Signals[:0]
		if err := c.timed.Process(context.Background(), b); err != nil {
			return err
		}
	}
	return nil
}

// showRules prints which rules the index gives out most often.
func showRules(w io.Writer, c *contender, events int) error {
	order := make([]int, len(c.set.Rules))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(c.matcher.Counts(b).Candidates) - int(c.matcher.Counts(a).Candidates)
	})
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "rule\tcandidate, % of events\tmatched, %\tcondition")
	percent := func(n uint64) float64 { return 100 * float64(n) / float64(events) }
	for _, i := range order[:min(*show, len(order))] {
		n := c.matcher.Counts(i)
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%s\n", c.set.Rules[i].ID, percent(n.Candidates), percent(n.Matched), strings.TrimSpace(c.set.Rules[i].Steps[0].When))
	}
	return table.Flush()
}
