package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAuditAndDeadLetters runs the pipeline over a few seconds of records and asks the auditor; then takes rows away and
// stores others twice, which it must name, and gets them back by a replay.
func TestAuditAndDeadLetters(t *testing.T) {
	t.Parallel()
	p := newPlant(t, embeddedServers(t), "raw")
	p.load.at = time.Now().UTC().Truncate(time.Hour).Add(2*time.Hour - 2*time.Second) // an hour ends soon
	p.produce()
	traces := newCollector(t)
	p.env = traces.env()
	process := p.start("tocsin", "run", "-c", p.config("a"))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", process)
	p.conclude(process)
	traces.check(t)
	exec := func(sql string) {
		t.Helper()
		if err := p.db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	number := func(sql string) (n uint64) {
		t.Helper()
		if err := p.db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	readAll := int64(0)
	for line := range strings.Lines(p.expect(0, "audit", "-c", p.config("a"))) {
		var partition, span string
		var read, stored, expanded, rows, refused, dropped, repeated, absent int64
		n, _ := fmt.Sscan(line, &partition, &span, &read, &stored, &expanded, &rows, &refused, &dropped, &repeated, &absent)
		if n == 10 && (read == 0 || read != stored+refused+dropped+repeated+absent || rows != stored+expanded) {
			t.Errorf("the account does not add up: %s", line)
		}
		if n == 10 {
			readAll += read
		}
	}
	// By hour it is the same account, in more parts.
	hours := map[string]bool{}
	for line := range strings.Lines(p.expect(0, "audit", "-c", p.config("a"), "--by-hour")) {
		var partition, hour, span string
		var read, stored, expanded, rows, refused, dropped, repeated, absent int64
		if n, _ := fmt.Sscan(line, &partition, &hour, &span, &read, &stored, &expanded, &rows, &refused, &dropped, &repeated, &absent); n == 11 {
			if read == 0 || read != stored+refused+dropped+repeated+absent {
				t.Errorf("the account of an hour does not add up: %s", line)
			}
			hours[partition+" "+hour] = true
			readAll -= read
		}
	}
	if readAll != 0 || len(hours) != 6 {
		t.Errorf("%d hours of three partitions, want 6; %d records are in no hour", len(hours), readAll)
	}

	// A row vanishes.
	offset := number("SELECT toUInt64(max(kafka_offset)) FROM events WHERE kafka_partition = 0 AND kafka_offset < 50")
	row := fmt.Sprintf("kafka_partition = 0 AND kafka_offset = %d", offset)
	id := number("SELECT cityHash64(event_id) FROM events WHERE " + row)
	exec("ALTER TABLE events DELETE WHERE " + row + " SETTINGS mutations_sync = 2")
	p.expect(1, "audit", "-c", p.config("a"), fmt.Sprintf("raw/0 [%d,%d): 1 records have neither", offset, offset+1))

	// It is among the dead letters, and a replay brings it back, once.
	exec(fmt.Sprintf("INSERT INTO dead_letters (ts, kafka_topic, kafka_offset, stage, reason) VALUES (now(), 'raw', %d, 'sink', 'test')", offset))
	record := fmt.Sprintf("raw/0/%d", offset)
	p.expect(0, "dlq", "ls", "-c", p.config("a"), "--stage", "sink", `"record":"`+record+`"`)
	p.expect(0, "dlq", "replay", "-c", p.config("a"), record, "1 events stored")
	p.expect(0, "dlq", "replay", "-c", p.config("a"), record, "0 events stored")
	if got := number("SELECT cityHash64(event_id) FROM events WHERE " + row); got != id {
		t.Error("the event has another id now")
	}
	p.expect(0, "audit", "-c", p.config("a"))

	// Rubbish stays rubbish.
	rubbish := number("SELECT toUInt64(min(kafka_offset)) FROM v_dead_letters_open WHERE kafka_partition = 1")
	record = fmt.Sprintf("raw/1/%d", rubbish)
	p.expect(1, "dlq", "replay", "-c", p.config("a"), record, "still refused")
	p.expect(0, "dlq", "discard", "-c", p.config("a"), record, "--by", "maria", "--reason", "half a line")
	p.expect(0, "dlq", "show", "-c", p.config("a"), record, `"because":"half a line"`)
	if n := number(fmt.Sprintf("SELECT count() FROM v_dead_letters_open WHERE kafka_partition = 1 AND kafka_offset = %d", rubbish)); n != 0 {
		t.Error("the discarded letter is open")
	}

	// A block that is stored under two names.
	exec("INSERT INTO ledger (kafka_topic, kafka_partition, day, first_offset, last_offset, records, rows) SELECT kafka_topic, kafka_partition, day, first_offset + 1, last_offset, 9, 9 FROM ledger WHERE kafka_partition = 2 AND last_offset > first_offset LIMIT 1")
	p.expect(1, "audit", "-c", p.config("a"), "doubled in the rollups")
}

// expect runs tocsin, wants an exit code, and returns what it said; arguments with a space or a quote are texts that must
// stand in that.
func (p *plant) expect(code int, args ...string) string {
	p.t.Helper()
	var texts []string
	for i := len(args) - 1; i > 0 && (strings.ContainsAny(args[i], ` "`) && args[i-1] != "--reason"); i-- {
		texts, args = append(texts, args[i]), args[:i]
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	process := p.start("tocsin", args...)
	select {
	case <-process.done:
	case <-ctx.Done():
	}
	said := process.log()
	if got := process.ProcessState.ExitCode(); got != code {
		p.t.Errorf("tocsin %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, said)
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			p.t.Errorf("tocsin %s: want %q in\n%s", strings.Join(args, " "), text, said)
		}
	}
	return said
}
