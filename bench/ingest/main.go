// Command ingest measures tocsin as it is shipped: `make build && go run ./bench/ingest` from the top of the repository.
//
// For each run it fills six partitions of a new broker with records of six formats, starts `tocsin run` as a process of its
// own, and waits until every event is in a real ClickHouse, and every signal is judged where the process detects as well:
// exactly-once on, redaction on, all views on. Broker and ClickHouse are on the same machine. What counts is the processor
// time of tocsin's own process for a million events; the time by the clock says more of the machine. A run counts only when
// the warehouse holds exactly the records that were sent, and the signals are as many as the rules give when they judge the
// same records one after the other. The jobs take turns, so that a machine that changes its pace changes it for all.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var (
	binary     = flag.String("tocsin", "bin/tocsin", "the program that is measured")
	events     = flag.Int("events", 1_000_000, "records to send")
	partitions = flag.Int("partitions", rig.Partitions, "that the records are in")
	rounds     = flag.Int("rounds", 3, "runs of each job; the medians are printed")
	only       = flag.String("jobs", "J1,J2,J3,library", "jobs to run, joined by commas; J4 is there as well")
	flush      = flag.String("flush", "{}", "the configuration's flush, as YAML")
	prof       = flag.String("profile", "", "file for tocsin's CPU profile of the last run, as the compiler takes it; a profile of the heap goes beside it")
	budget     = flag.Bool("stages", false, "say what each stage of the last run of each job costs an event, beside the least that it can; needs a run of half a minute")
	where      = flag.Bool("where", false, "say where the server's time goes; its logs for that take some themselves")
)

// job is `tocsin run` in a role, with match rules of the corpus, its windows, or our library.
type job struct {
	id, name, role   string
	rules            int
	windows, library bool

	dir     string // of the rules
	signals int    // that they give
	runs    []run
}

var jobs = []job{
	{id: "J1", name: "J1 ingest, no rules", role: "ingest"},
	{id: "J2", name: "J2 ingest, 50 rules", role: "ingest", rules: 50},
	{id: "J3", name: "J3 J2 and windows over 100,000 keys", role: "all", rules: 50, windows: true},
	{id: "J4", name: "J4 ingest, 10 rules", role: "ingest", rules: 10},
	{id: "J4", name: "J4 ingest, 100 rules", role: "ingest", rules: 100},
	{id: "J4", name: "J4 ingest, 1,000 rules", role: "ingest", rules: 1000},
	{id: "J4", name: "J4 ingest, 3,000 rules", role: "ingest", rules: 3000},
	{id: "library", name: "ingest and detect, our library", role: "all", library: true},
}

func main() {
	embedded.MaybeChild()
	flag.Parse()
	if err := measure(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

// run is one process of tocsin that has read everything.
type run struct {
	wall, cpu, server time.Duration
	rss               uint64  // bytes, at its highest
	block             float64 // rows, in the mean
}

func measure(ctx context.Context) error {
	var chosen []*job
	for i := range jobs {
		if slices.Contains(strings.Split(*only, ","), jobs[i].id) {
			chosen = append(chosen, &jobs[i])
		}
	}
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, j := range chosen {
		if err := j.prepare(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	for round := range *rounds {
		for i := range chosen {
			j := chosen[(i+round)%len(chosen)]
			r, err := j.once(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d-%d", j.id, round, i)))
			if err != nil {
				return fmt.Errorf("%s: %w", j.name, err)
			}
			j.runs = append(j.runs, r)
		}
	}
	million := float64(*events) / 1e6
	fmt.Printf("%d records of six formats, %d partitions; medians of %d runs\n\n", *events, *partitions, *rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "job\tevents/s\tCPU-s a million\tx of the first\tserver's CPU-s a million\trows a block\tRSS MB\tsignals")
	for _, j := range chosen {
		cpu := func(r run) float64 { return r.cpu.Seconds() / million }
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%d\n", j.name,
			rig.Median(j.runs, func(r run) float64 { return float64(*events) / r.wall.Seconds() }),
			rig.Median(j.runs, cpu), rig.Median(j.runs, cpu)/rig.Median(chosen[0].runs, cpu),
			rig.Median(j.runs, func(r run) float64 { return r.server.Seconds() / million }),
			rig.Median(j.runs, func(r run) float64 { return r.block }),
			rig.Median(j.runs, func(r run) float64 { return float64(r.rss) / 1e6 }), j.signals)
	}
	if err := w.Flush(); err != nil || !*budget {
		return err
	}
	for _, j := range chosen {
		fmt.Printf("\n%s\n", j.name)
		if err := printStages(os.Stdout, cmp.Or(*prof, j.dir+".prof"), j.runs[*rounds-1].cpu); err != nil {
			return err
		}
	}
	return nil
}

// prepare writes the job's rules and finds how many signals they give.
func (j *job) prepare(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	j.dir = dir
	files := corpus.Files(corpus.Rules(j.rules))
	if j.windows {
		files = append(files, corpus.Windows()...)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			return err
		}
	}
	if j.library {
		files = append(files, rule.Library()...)
	}
	set, err := rule.Load(files)
	if err != nil || len(files) == 0 {
		return err
	}
	parser, err := parse.New(parse.Config{})
	if err != nil {
		return err
	}
	matcher := set.NewMatcher()
	b := &pipeline.Batch{}
	for i := range *events {
		t := timeOf(i)
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: t, Value: corpus.Record(i, t)})
		if len(b.Records) < 256 && i < *events-1 {
			continue
		}
		if err := errors.Join(parser.Process(context.Background(), b), matcher.Process(context.Background(), b)); err != nil {
			return err
		}
		j.signals += len(b.Signals)
		b.Reset()
	}
	return nil
}

// once starts broker, warehouse and tocsin, each anew, and waits until all is done.
func (j *job) once(ctx context.Context, dir string) (r run, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kafka, err := embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Topics: []embedded.Topic{{Name: rig.Topic, Partitions: int32(*partitions)}}})
	if err != nil {
		return r, err
	}
	defer kafka.Close()
	if err := rig.Fill(ctx, kafka.Addrs, int32(*partitions), records()); err != nil {
		return r, err
	}
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse"), More: serverLogs()})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{server.TCPAddr}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return r, err
	}
	admin, err := rig.FreeAddr()
	if err != nil {
		return r, err
	}
	config := filepath.Join(dir, "tocsin.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%q], topics: [%s]}\nclickhouse: {addrs: [%q]}\nadmin: {listen: %q, pprof: true}\nlog: {level: warn}\nrules: {library: %t, dirs: [%q]}\nflush: %s\n",
		kafka.Addrs[0], rig.Topic, server.TCPAddr, admin, j.library, j.dir, *flush)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, *binary, "run", "-c", config, "--role", j.role)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }() // nothing, once it has ended
	if *prof != "" || *budget {
		go profile(admin, cmp.Or(*prof, j.dir+".prof"))
	}

	for done := false; !done; {
		if time.Since(start) > 10*time.Minute {
			return r, errors.New("not done after ten minutes")
		}
		select {
		case err := <-ended:
			return r, fmt.Errorf("tocsin ended: %w", err)
		case <-time.After(250 * time.Millisecond): // asked more often, the count itself would cost the server seconds a million
		}
		var rows uint64
		if err := db.QueryRow(ctx, "SELECT count() FROM events").Scan(&rows); err != nil {
			return r, err
		}
		done = rows >= uint64(*events) && (j.role == "ingest" || metric(admin, `tocsin_detect_signals_total{result="judged"}`) >= j.signals)
	}
	r.wall = time.Since(start)
	if n := metric(admin, "tocsin_ingest_signals_total"); n != j.signals {
		return r, fmt.Errorf("%d signals, want %d", n, j.signals)
	}
	if r.rss, err = rig.HighWater(cmd.Process.Pid); err != nil {
		return r, err
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return r, err
	}
	if err := <-ended; err != nil {
		return r, fmt.Errorf("tocsin: %w", err)
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()

	var rows, offsets, letters, micros uint64
	if err := db.QueryRow(ctx, `SELECT count(), uniqExact(kafka_partition, kafka_offset), (SELECT count() FROM dead_letters),
		(SELECT toUInt64(sum(value)) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds') FROM events`).Scan(&rows, &offsets, &letters, &micros); err != nil {
		return r, err
	}
	if n := uint64(*events); rows != n || offsets != n || letters != 0 {
		return r, fmt.Errorf("%d rows of %d records and %d dead letters, want %d, as many, and none", rows, offsets, letters, n)
	}
	r.server = time.Duration(micros) * time.Microsecond
	if err := db.QueryRow(ctx, "SELECT sum(rows) / count() FROM ledger").Scan(&r.block); err != nil {
		return r, err
	}
	if *where {
		return r, printServer(ctx, db)
	}
	return r, nil
}

// metric returns a counter of the process; 0 where it does not answer.
func metric(admin, name string) int {
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int(v)
		}
	}
	return 0
}

// began is when the first record's event was: an hour ago.
var began = time.Now().UTC().Add(-time.Hour)

func records() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i < *events && yield(corpus.Record(i, timeOf(i))); i++ {
		}
	}
}

func timeOf(i int) time.Time { return began.Add(time.Duration(i) * time.Hour / time.Duration(*events)) }
