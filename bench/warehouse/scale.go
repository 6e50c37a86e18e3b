package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/sql"
)

//go:embed fill.sql
var fillSQL string

// others are the rows of the other tables, made from the events that are there.
var others = []string{
	`INSERT INTO alerts (alert_id, version, ts, first_event_time, last_event_time, status, team, alert_class, visibility, rule_id, severity_id, title, dedup_key, project, environment, entities, event_ids, event_count)
		SELECT event_id, 1, event_time, event_time, event_time, if(event_time > now() - 86400 AND rand() % 20 = 0, 'firing', 'resolved'), 'sec', 'normal', 'team', concat('C', toString(10 + cityHash64(event_id) % 17)), severity_id,
			title, concat('k', toString(cityHash64(actor, rule_id) % 5000)), project, environment, map('host', host), [event_id], 1
		FROM events WHERE event_type = 'detection' AND cityHash64(event_id) % 70 = 0`,
	`INSERT INTO db_growth (ts, project, host, db_name, db_object, size_bytes, delta_bytes, state)
		SELECT now() - number % 43200 * 60 AS t, 'payments', concat('db-', toString(intDiv(number, 43200) % 20)), 'pay', 'public.orders', 1000000000 + (43200 - number % 43200) * 1000, 1000, if(intDiv(number, 43200) = 3 AND number % 43200 < 60, 'crit', 'ok') FROM numbers(20 * 43200)`,
	`INSERT INTO dead_letters (ts, kafka_topic, kafka_partition, kafka_offset, stage, source, reason)
		SELECT event_time, kafka_topic, kafka_partition, kafka_offset, 'parse', source, 'truncated' FROM events WHERE cityHash64(event_id, 1) % 2000 = 0`,
}

// limits are what DELIVERY asks for: a panel in two seconds, a question about one entity in one.
const (
	panelLimit  = 2 * time.Second
	entityLimit = time.Second
)

// timing is what one thing took: the least of some rounds, as other programs on the machine only make it slower. The
// processor time tells more than the clock where the machine has other work.
type timing struct {
	what  string
	took  time.Duration
	cpu   time.Duration // the server's
	read  uint64        // rows that the server read
	rows  int
	limit time.Duration
	err   error
}

func scale(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("scale", flag.ExitOnError)
	rows := flags.Int("rows", 10_000_000, "events")
	days := flags.Int("days", 30, "days that they are spread over, the last is today")
	threads := flags.Int("threads", 2, "threads that fill")
	rounds := flags.Int("rounds", 3, "rounds; the fastest is printed")
	dir := flags.String("dir", "", "keep the data there, or use what is there; a folder that is removed by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "tocsin-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: filepath.Join(*dir, "clickhouse")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{server.TCPAddr}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if err := fill(ctx, db, *rows, *days, *threads); err != nil {
		return err
	}
	if err := db.Exec(ctx, "SYSTEM STOP MERGES"); err != nil { // their processor time is not the queries'
		return err
	}
	panels, err := timePanels(ctx, db, *rounds)
	if err != nil {
		return err
	}
	questions, err := timeQuestions(ctx, db, *rounds)
	if err != nil {
		return err
	}
	return report(append(panels, questions...))
}

// fill writes the events, a day at a time, unless they are there.
func fill(ctx context.Context, db *clickhouse.DB, rows, days, threads int) error {
	there, err := number(ctx, db, "SELECT count() FROM events")
	if err != nil {
		return err
	}
	if there == 0 {
		start := time.Now()
		for day := days - 1; day >= 0; day-- {
			if err := db.Exec(ctx, fmt.Sprintf(fillSQL, rows/days, day, threads)); err != nil {
				return fmt.Errorf("fill day %d: %w", day, err)
			}
			fmt.Fprintf(os.Stderr, "\rday %d of %d, %v ", days-day, days, time.Since(start).Round(time.Second))
		}
		for _, statement := range others {
			if err := db.Exec(ctx, statement); err != nil {
				return err
			}
		}
		fmt.Fprintln(os.Stderr)
	}
	var events, minutes, findings, links, parts, bytes uint64
	if err := db.QueryRow(ctx, `SELECT (SELECT count() FROM events), (SELECT count() FROM events_1m), (SELECT count() FROM findings), (SELECT count() FROM entity_links),
		(SELECT count() FROM system.parts WHERE database = currentDatabase() AND active AND table = 'events'), (SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active)`).
		Scan(&events, &minutes, &findings, &links, &parts, &bytes); err != nil {
		return err
	}
	fmt.Printf("%d events over %d days in %d parts, %d rows of events_1m, %d findings, %d links; %.1f bytes an event with all tables\n\n",
		events, days, parts, minutes, findings, links, float64(bytes)/float64(events))
	return nil
}

// timePanels asks for every panel of every dashboard, over the range that it opens with and over a week.
func timePanels(ctx context.Context, db *clickhouse.DB, rounds int) (all []timing, err error) {
	admin, err := console.New(console.Config{Listen: "127.0.0.1:0", DB: db})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- admin.Serve(ctx) }()
	defer func() { stop(); err = errors.Join(err, <-served) }()

	var boards []struct{ UID string }
	if err := get(ctx, admin.URL()+"api/dashboards", &boards); err != nil {
		return nil, err
	}
	var event string
	if err := db.QueryRow(ctx, "SELECT toString(event_id) FROM events WHERE event_type = 'detection' AND event_time > now() - 7200 LIMIT 1").Scan(&event); err != nil {
		return nil, err
	}
	for _, b := range boards {
		var board struct {
			Title  string
			Time   struct{ From string }
			Panels []struct {
				ID      int
				Title   string
				Targets []struct{ RefID string }
			}
		}
		if err := get(ctx, admin.URL()+"api/dashboards/"+b.UID, &board); err != nil {
			return nil, err
		}
		for _, span := range []string{"opening range", "a week"} {
			opens, err := time.ParseDuration(board.Time.From[len("now-"):])
			if err != nil {
				opens = 24 * time.Hour // now-1d and more
			}
			if span == "a week" {
				opens = 7 * 24 * time.Hour
			}
			now := time.Now()
			query := url.Values{"dashboard": {b.UID}, "from": {strconv.FormatInt(now.Add(-opens).UnixMilli(), 10)}, "to": {strconv.FormatInt(now.UnixMilli(), 10)}, "var-id": {"198.18.0.7"}, "var-event": {event}}
			for _, p := range board.Panels {
				for _, target := range p.Targets {
					query.Set("panel", strconv.Itoa(p.ID))
					query.Set("ref", target.RefID)
					t := timing{what: fmt.Sprintf("%s: %s, %s", board.Title, p.Title, span), limit: panelLimit}
					t.time(ctx, db, rounds, func() error {
						var result struct{ Rows [][]any }
						err := get(ctx, admin.URL()+"api/query?"+query.Encode(), &result)
						t.rows = len(result.Rows)
						return err
					})
					all = append(all, t)
				}
			}
		}
	}
	return all, nil
}

// timeQuestions asks analysts' questions about one entity, each of which is there.
func timeQuestions(ctx context.Context, db *clickhouse.DB, rounds int) (all []timing, err error) {
	var commit, digest, user, database string
	if err := db.QueryRow(ctx, `SELECT any(commit_sha), any(artifact_digest), any(actor) FROM (SELECT * FROM events WHERE event_type IN ('service.deployed', 'change.merged') AND event_time < now() - 5 * 86400 LIMIT 1000)`).Scan(&commit, &digest, &user); err != nil {
		return nil, err
	}
	if err := db.QueryRow(ctx, "SELECT concat(host, '/', db_name) FROM events WHERE event_type = 'db.size' LIMIT 1").Scan(&database); err != nil {
		return nil, err
	}
	if err := db.QueryRow(ctx, "SELECT artifact_digest FROM events WHERE event_type = 'service.deployed' AND commit_sha != '' LIMIT 1").Scan(&digest); err != nil {
		return nil, err
	}
	queries, err := sql.Queries()
	if err != nil {
		return nil, err
	}
	about := map[string]map[string]any{
		"commit": {"commit": commit}, "digest": {"digest": digest}, "address": {"ip": "198.18.0.7"}, "lineage": {"digest": digest},
		"neighbours": {"kind": "commit", "id": commit}, "user": {"user": user}, "database": {"database": database}, "vulnerability": {"cve": "CVE-2026-1234"},
	}
	ask := func(what, text string, params map[string]any) {
		t := timing{what: what, limit: entityLimit}
		t.time(ctx, db, rounds, func() error {
			_, rows, err := db.QueryJSON(ctx, text, params, clickhouse.Limits{Rows: 100_000, Time: time.Minute})
			t.rows = len(rows)
			return err
		})
		all = append(all, t)
	}
	for _, q := range queries {
		if params := about[q.Name]; params != nil {
			for _, p := range q.Params {
				if _, given := params[p.Name]; !given {
					params[p.Name] = p.Default
				}
			}
			ask("tocsin sql "+q.Name, q.Text, params)
		}
	}
	ask("v_events of a commit", "SELECT * FROM v_events WHERE commit_sha = {x:String} ORDER BY event_time LIMIT 100", map[string]any{"x": commit})
	ask("v_events of an address", "SELECT * FROM v_events WHERE src_ip = toIPv6({x:String}) ORDER BY event_time DESC LIMIT 100", map[string]any{"x": "198.18.200.7"})
	ask("v_events of a digest", "SELECT * FROM v_events WHERE artifact_digest = {x:String} ORDER BY event_time LIMIT 100", map[string]any{"x": digest})
	return all, nil
}

func (t *timing) time(ctx context.Context, db *clickhouse.DB, rounds int, ask func() error) {
	const used = "SELECT toUInt64(sumIf(value, event = 'OSCPUVirtualTimeMicroseconds')), toUInt64(sumIf(value, event = 'SelectedRows')) FROM system.events"
	for range rounds {
		var cpu, read, cpuBefore, readBefore uint64
		if t.err = db.QueryRow(ctx, used).Scan(&cpuBefore, &readBefore); t.err != nil {
			return
		}
		start := time.Now()
		if t.err = ask(); t.err != nil {
			return
		}
		took := time.Since(start)
		if t.err = db.QueryRow(ctx, used).Scan(&cpu, &read); t.err != nil {
			return
		}
		if t.took == 0 || took < t.took {
			t.took, t.cpu, t.read = took, time.Duration(cpu-cpuBefore)*time.Microsecond, read-readBefore
		}
	}
}

// report prints everything that took long, and how many did not.
func report(all []timing) error {
	slices.SortFunc(all, func(a, b timing) int { return int(b.took - a.took) })
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\ttook\tserver's CPU\trows read\trows\t")
	slow, heavy, empty := 0, 0, 0
	for i, t := range all {
		note := ""
		switch {
		case t.err != nil:
			slow, note = slow+1, t.err.Error()
		case t.took > t.limit:
			slow, note = slow+1, fmt.Sprintf("more than %v", t.limit)
		}
		if t.cpu > t.limit {
			heavy++
		}
		if t.rows == 0 {
			empty++
		}
		if i < 25 || note != "" || t.limit == entityLimit {
			fmt.Fprintf(w, "%s\t%v\t%v\t%d\t%d\t%s\n", t.what, t.took.Round(time.Millisecond), t.cpu.Round(time.Millisecond), t.read, t.rows, note)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%d panels and questions: %d too slow by the clock, %d by the server's processor time, %d without rows, median %v\n", len(all), slow, heavy, empty, all[len(all)/2].took.Round(time.Millisecond))
	return nil
}

func get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var body struct{ Error string }
		_ = json.NewDecoder(resp.Body).Decode(&body) // its words, where it has some
		return fmt.Errorf("GET %s: %s: %s", address, resp.Status, body.Error)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
