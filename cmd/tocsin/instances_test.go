package main

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFourInstances shares the work among four processes that come, go and are killed, and gives the same records to one
// that nothing happens to: the rows and the alerts are the same.
func TestFourInstances(t *testing.T) {
	t.Parallel()
	four := newPlant(t, embeddedServers(t), "raw")
	four.produce()
	names := []string{"a", "b", "c", "d"}
	processes := map[string]*process{}
	start := func(name string) { processes[name] = four.start("tocsin", "run", "-c", four.config(name)) }
	for _, name := range names[:2] {
		start(name)
	}
	four.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", processes["a"])
	for _, name := range names[2:] {
		start(name)
	}
	rng := rand.New(rand.NewPCG(uint64(*kills), 4))
	for n := range *kills {
		time.Sleep(time.Duration(rng.Int64N(int64(1500 * time.Millisecond))))
		name := names[rng.IntN(len(names))]
		if n%3 == 2 { // this one leaves, and others have its partitions meanwhile
			processes[name].signal(syscall.SIGTERM)
			processes[name].wait(2 * time.Minute)
		} else {
			processes[name].kill()
		}
		start(name)
	}
	four.finish(processes["a"])
	for _, name := range names {
		processes[name].signal(syscall.SIGTERM)
	}
	for _, name := range names {
		processes[name].wait(2 * time.Minute)
	}
	four.check(t.Context())

	one := newPlant(t, embeddedServers(t), "raw")
	one.repeat(four.load)
	one.conclude(one.start("tocsin", "run", "-c", one.config("a")))

	const rows = `SELECT concat(toString(kafka_partition), '/', toString(count()), ' ', hex(groupBitXor(cityHash64(
		kafka_offset, event_time, event_type, outcome, actor, src_ip, host, title, raw, attributes, labels))))
		FROM events GROUP BY kafka_partition ORDER BY kafka_partition`
	const alerts = `SELECT toString((alert_id, rule_id, team, severity_id, status, dedup_key, event_count, first_event_time, last_event_time)) AS a
		FROM v_alerts ORDER BY a`
	for _, query := range []string{rows, alerts} {
		if a, b := one.lines(query), four.lines(query); !slices.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s\none instance:   %q\nfour instances: %q", query, a, b)
		}
	}
}

// repeat sends the records of another plant, all at once.
func (p *plant) repeat(l *load) {
	p.t.Helper()
	defer close(p.sent)
	for _, r := range l.records {
		p.load.records = append(p.load.records, r)
		p.client.Produce(p.t.Context(), &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}, func(_ *kgo.Record, err error) {
			if err != nil {
				p.t.Errorf("produce: %v", err)
			}
		})
	}
	if err := p.client.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// lines returns the result of a query that gives one text a row.
func (p *plant) lines(query string) (all []string) {
	p.t.Helper()
	rows, err := p.db.Query(p.t.Context(), query)
	if err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	return all
}
