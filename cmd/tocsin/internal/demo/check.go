package demo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/schemas"
)

// Promise is an alert that the storyline must raise: by this rule, to this team, and no other.
type Promise struct{ Rule, Team string }

// Promised lists the alerts that must come out.
var Promised = []Promise{
	{"secret-in-code", "dev"}, {"secret-in-code", "sec"},
	{"C04", "sec"}, {"C04", "dev"},
	{"C03", "sec"}, {"C03", "dev"},
	{"C11", "sec"}, {"C11", "ops"},
	{"http-errors", "ops"},
	{"C02", "sec"}, {"C02", "ops"}, {"C02", "mon"},
	{"C01", "sec"}, {"C01", "dev"},
	{"C07", "sec"},
	{"C12", "sec"},
	{"C13", "sec"}, {"C13", "mon"}, {"C13", "ops"},
	{"C09", "sec"}, {"C09", "ops"},
	{"C05", "sec"}, {"C05", "dev"}, {"C05", "ops"},
	{"C08", "sec"}, {"C08", "dev"},
	{"C06", "sec"}, {"C06", "dev"},
	{"C10", "sec"},
	{"C14", "sec"}, {"C14", "ops"},
	{"C14b", "sec"}, {"C14b", "ops"},
	{"C15", "sec"},
	{"C16", "sec"}, {"C16", "dev"},
	{"C17", "sec"},
	{"C18", "ops"}, {"C18", "sec"},
	{"C18b", "ops"}, {"C18b", "sec"},
	{"C19", "ops"}, {"C19", "mon"},
	{"C20", "mon"}, {"C20", "ops"},
	{"C20b", "mon"}, {"C20b", "ops"},
	{"C21", "sec"}, {"C21", "dev"},
	{"C22", "dev"}, {"C22", "sec"},
	{"C23", "sec"}, {"C23", "dev"},
	{"C24", "sec"},
	{"C25", "sec"}, {"C25", "dev"},
	{"C26", "mon"}, {"C26", "ops"}, {"C26", "dev"},
	{"C27", "sec"},
	{"C28", "dev"}, {"C28", "ops"},
	{"C03b", "sec"}, {"C03b", "dev"},
	{"OPS-REC", "dev"},
	{"hook-silent", "ops"},
	{"new-host", "ops"},
	{"platform-undeclared", "dev"},
	{"tests-by-people", "dev"},
	{"threat-model", "sec"},
	{"tocsin-silent", "ops"}, {"tocsin-silent", "mon"},
	{"tocsin-trouble", "ops"}, {"tocsin-trouble", "mon"},
}

// Result is how one check went.
type Result struct {
	What string
	Err  error // nil: it holds
}

// Expected is what the storyline's records hold, as the parser alone reads them.
type Expected struct {
	Events      int
	DeadLetters int
	Phases      map[string]int
}

// Expect parses the records without Kafka, ClickHouse or rules.
func Expect(ctx context.Context, records []Record, origin time.Time) (Expected, error) {
	want := Expected{Phases: map[string]int{}}
	parser, err := parse.New(parse.Config{})
	if err != nil {
		return want, err
	}
	b := &pipeline.Batch{}
	for i := range records {
		r := &records[i]
		rec := pipeline.Record{Time: origin.Add(r.At), Value: []byte(r.Value)}
		for k, v := range r.Headers {
			rec.Headers = append(rec.Headers, pipeline.Header{Key: k, Value: []byte(v)})
		}
		b.Reset()
		b.Topic, b.Records = r.Topic, append(b.Records, rec)
		if err := parser.Process(ctx, b); err != nil {
			return want, err
		}
		want.Events += len(b.Events)
		want.DeadLetters += len(b.Failures)
		for j := range b.Events {
			want.Phases[b.Events[j].Phase]++
		}
	}
	return want, nil
}

// Await waits until the warehouse holds all events and the alerts have settled: nothing new for ten seconds, in which the watermarks of quiet partitions have caught up.
func Await(ctx context.Context, db *clickhouse.DB, want Expected, bound time.Duration) error {
	var events, alerts, stored, told uint64
	moved := time.Now()
	for quiet := 0; quiet < 20 && time.Since(moved) < bound; {
		if err := db.QueryRow(ctx, "SELECT (SELECT count() FROM events) + (SELECT count() FROM dead_letters), (SELECT count() FROM alerts)").Scan(&events, &alerts); err != nil {
			return fmt.Errorf("await the storyline's rows: %w", err)
		}
		if events != stored || alerts != told {
			moved = time.Now()
		}
		if quiet++; events < uint64(want.Events+want.DeadLetters) || alerts != told {
			quiet = 0
		}
		stored, told = events, alerts
		select {
		case <-ctx.Done():
			return nil // the checks say what is missing
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// Check compares what came out with what the storyline promises.
func Check(ctx context.Context, db *clickhouse.DB, brokers []string, logFile string, want Expected) []Result {
	var results []Result
	check := func(what string, err error) { results = append(results, Result{what, err}) }

	var rows, ids, rolled, letters uint64
	err := db.QueryRow(ctx, "SELECT count(), uniqExact(event_id), (SELECT sum(n) FROM events_1m), (SELECT count() FROM dead_letters) FROM events").Scan(&rows, &ids, &rolled, &letters)
	first := err
	if err == nil && (int(rows) != want.Events || int(ids) != want.Events || int(rolled) != want.Events) {
		err = fmt.Errorf("%d rows, %d ids, %d in the rollup; want %d of each", rows, ids, rolled, want.Events)
	}
	check(fmt.Sprintf("every event is stored once, and counted once in the rollup (%d)", want.Events), err)
	if err = first; err == nil && int(letters) != want.DeadLetters {
		err = fmt.Errorf("%d dead letters, want %d", letters, want.DeadLetters)
	}
	check(fmt.Sprintf("dead letters: %d", want.DeadLetters), err)
	check("all eight phases have events", phases(ctx, db))
	promises, err := raised(ctx, db)
	for _, p := range Promised {
		e := err
		if e == nil && !promises[p] {
			e = fmt.Errorf("no alert")
		}
		check(fmt.Sprintf("%s alerts %s", p.Rule, p.Team), e)
		delete(promises, p)
	}
	if err == nil && len(promises) > 0 {
		var extra []string
		for p := range promises {
			extra = append(extra, p.Rule+" to "+p.Team)
		}
		sort.Strings(extra)
		err = fmt.Errorf("%s", strings.Join(extra, ", "))
	}
	check("no other alert is raised", err)
	check("no alert for the bulk load and the table that grows in a line", controls(ctx, db))
	check("growth is seen early: before the table is 2 % larger", early(ctx, db))
	check("every alert fits its published schema", published(ctx, brokers))
	check("alice's key is in no table, no topic and no log", leaked(ctx, db, brokers, logFile))
	check("every question of sql/queries has its answer", questions(ctx, db))
	return results
}

func phases(ctx context.Context, db *clickhouse.DB) error {
	var n uint64
	if err := db.QueryRow(ctx, "SELECT uniqExact(phase) FROM events WHERE phase != 'unknown'").Scan(&n); err != nil {
		return err
	}
	if n != 8 {
		return fmt.Errorf("%d phases", n)
	}
	return nil
}

// raised returns which alerts were ever firing, or stored as a part of an incident that says them as well.
func raised(ctx context.Context, db *clickhouse.DB) (map[Promise]bool, error) {
	rows, err := db.Query(ctx, "SELECT DISTINCT rule_id, toString(team) FROM alerts WHERE status IN ('firing', 'updated', 'resolved') OR startsWith(suppressed_by, 'inhibit:')")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	got := map[Promise]bool{}
	for rows.Next() {
		var p Promise
		if err := rows.Scan(&p.Rule, &p.Team); err != nil {
			return nil, err
		}
		got[p] = true
	}
	return got, rows.Err()
}

func controls(ctx context.Context, db *clickhouse.DB) error {
	var n uint64
	if err := db.QueryRow(ctx, "SELECT count() FROM alerts WHERE rule_id = 'C02' AND (position(dedup_key, 'fact') > 0 OR position(dedup_key, 'http') > 0)").Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%d", n)
	}
	return nil
}

func early(ctx context.Context, db *clickhouse.DB) error {
	var size float64
	err := db.QueryRow(ctx, `SELECT toFloat64(min(size_bytes)) FROM db_growth WHERE db_object LIKE '%audit_log' AND state IN ('warn', 'crit')`).Scan(&size)
	if err != nil {
		return err
	}
	if grown := size/auditBytes - 1; size == 0 || grown > 0.02 {
		return fmt.Errorf("first seen at %+.2f %%", 100*grown)
	}
	return nil
}

// Latency returns the 95th percentile of the time from an event's arrival in Kafka to its alert. It leaves out the rules
// of absence, of risk and of anomalies: they wait on purpose. It is a figure and no check: a machine may be slow.
func Latency(ctx context.Context, db *clickhouse.DB, speed float64) (time.Duration, error) {
	var ms float64
	if err := db.QueryRow(ctx, "SELECT quantile(0.95)(detect_latency_ms) FROM alerts WHERE status = 'firing' AND rule_id NOT IN ('C05', 'C07', 'C08', 'C09', 'C10', 'C13', 'C17', 'C19', 'C20', 'C20b', 'C22', 'C26', 'C28')").Scan(&ms); err != nil {
		return 0, err
	}
	return time.Duration(ms / speed * float64(time.Millisecond)), nil
}

// leaked looks for the secret in all that tocsin writes, and in its log.
func leaked(ctx context.Context, db *clickhouse.DB, brokers []string, logFile string) error {
	if log, err := os.ReadFile(logFile); err != nil {
		return err
	} else if bytes.Contains(log, []byte(Secret)) {
		return fmt.Errorf("%s holds it", logFile)
	}
	return Search(ctx, db, brokers, []string{Secret})
}

// Search looks for texts in every table and view and in every topic that tocsin writes. The error says where one is.
func Search(ctx context.Context, db *clickhouse.DB, brokers []string, texts []string) error {
	rows, err := db.Query(ctx, `SELECT table, arrayStringConcat(groupArray(concat('toString(`+"`', name, '`"+`)')), ', ') FROM system.columns
		WHERE database = currentDatabase() AND type NOT LIKE 'AggregateFunction%'
			AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND (engine LIKE '%MergeTree' OR engine = 'View'))
		GROUP BY table ORDER BY table`)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns := map[string]string{}
	for rows.Next() {
		var table, list string
		if err := rows.Scan(&table, &list); err != nil {
			return err
		}
		columns[table] = list
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, t := range slices.Sorted(maps.Keys(columns)) {
		var n uint64
		if err := db.QueryRow(ctx, "SELECT countIf(multiSearchAny(concat(' ', "+columns[t]+"), ?)) FROM `"+t+"`", texts).Scan(&n); err != nil {
			return fmt.Errorf("table %s: %w", t, err)
		}
		if n > 0 {
			return fmt.Errorf("%d rows of %s hold one of %q", n, t, texts)
		}
	}
	return readTopics(ctx, brokers, func(topic string, key, value []byte) error {
		for _, text := range texts {
			if bytes.Contains(value, []byte(text)) || bytes.Contains(key, []byte(text)) {
				return fmt.Errorf("topic %s holds %q", topic, text)
			}
		}
		return nil
	})
}

// readTopics reads everything that tocsin wrote to its topics and returns the first error that look has of a record.
func readTopics(ctx context.Context, brokers []string, look func(topic string, key, value []byte) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeRegex(), kgo.ConsumeTopics(`^tocsin\.`),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx)
	if err != nil {
		return err
	}
	left := map[string]map[int32]int64{}
	open := 0
	ends.Each(func(o kadm.ListedOffset) {
		if strings.HasPrefix(o.Topic, "tocsin.") && o.Offset > 0 {
			if left[o.Topic] == nil {
				left[o.Topic] = map[int32]int64{}
			}
			left[o.Topic][o.Partition] = o.Offset
			open++
		}
	})
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var found error
	for open > 0 && found == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read tocsin's topics: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if found == nil && !r.Attrs.IsControl() {
				found = look(r.Topic, r.Key, r.Value)
			}
			if end, ok := left[r.Topic][r.Partition]; ok && r.Offset >= end-1 {
				delete(left[r.Topic], r.Partition)
				open--
			}
		})
	}
	return found
}

// published compares every record of the alert topics with its published schema.
func published(ctx context.Context, brokers []string) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.AlertSchema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("alert.schema.json", doc); err != nil {
		return err
	}
	schema, err := compiler.Compile("alert.schema.json")
	if err != nil {
		return err
	}
	return readTopics(ctx, brokers, func(topic string, _, value []byte) error {
		if !strings.HasPrefix(topic, "tocsin.alerts.") {
			return nil
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
		return nil
	})
}
