package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// TestRulesMeanTheSame judges records by the rules as peers are told them and as tocsin is, rule by rule.
func TestRulesMeanTheSame(t *testing.T) {
	set, err := rule.Load(rules())
	if err != nil {
		t.Fatal(err)
	}
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	want, got := map[string]int{}, map[string]int{}
	if err := judge(records(n), func(id string) { want[id]++ }); err != nil {
		t.Fatal(err)
	}
	matcher, b := set.NewMatcher(), &pipeline.Batch{}
	for r := range records(n) {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(len(b.Records)), Time: time.Now(), Value: r})
		if len(b.Records) < 100 {
			continue
		}
		if err := parser.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := matcher.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, s := range b.Signals {
			got[s.Rule]++
		}
		b.Reset()
	}
	for _, k := range kinds {
		fires := false
		for _, c := range k.Rules {
			if got[c.ID] != want[c.ID] {
				t.Errorf("%s: tocsin finds %d, the plain reading of the rule %d", c.ID, got[c.ID], want[c.ID])
			}
			fires = fires || want[c.ID] > 0
		}
		if !fires {
			t.Errorf("no rule about %s matches anything", k.Name)
		}
	}
}

// TestSinkCounts sends rows in every way that a peer does.
func TestSinkCounts(t *testing.T) {
	s, err := openSink()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	post := func(path, body string) []byte {
		resp, err := http.Post("http://"+s.HTTP+path, "", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer bytes.Buffer
		if _, err := answer.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return answer.Bytes()
	}
	rows := 0
	check := func(how string, more int) {
		t.Helper()
		if rows += more; s.rows.Load() != int64(rows) {
			t.Errorf("%s: %d rows, want %d", how, s.rows.Load(), rows)
		}
	}
	post("/lines", "{}\n{}\n")
	check("lines", 2)
	post("/lines", "{}\n{}\n{}")
	check("lines without the last end", 3)
	post("/metrics", `{"metrics":[{"name":"kafka_consumer"},{"name":"kafka_consumer"}]}`)
	check("metrics", 2)

	if block := post("/", "DESC TABLE `events`"); block[0] == 0 || !bytes.Contains(block, []byte("LogAttributes")) {
		t.Errorf("the table is described as %q", block)
	}
	check("questions", 0)
	var b proto.Buffer
	if err := (proto.Block{Rows: 4, Columns: 1}).EncodeBlock(&b, 0, proto.Input{{Name: "Body", Data: texts("a", "b", "c", "d")}}); err != nil {
		t.Fatal(err)
	}
	post("/?query=INSERT+INTO+events+FORMAT+Native", string(b.Buf))
	check("a block", 4)
	post("/?query=INSERT+INTO+alerts+FORMAT+Native", string(b.Buf))
	check("a block of alerts", 0)
	if s.alerts.Load() != 4 {
		t.Errorf("%d alerts, want 4", s.alerts.Load())
	}

	c, err := net.Dial("tcp", s.TCP)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(c, "{}\n{}\n{}\n"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for s.rows.Load() < int64(rows+3) {
		time.Sleep(time.Millisecond)
	}
	check("lines over TCP", 3)
}

// TestConfigurations writes every peer's configuration of both jobs: with every column, and with every rule once if it is to match.
func TestConfigurations(t *testing.T) {
	s, err := openSink()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range peers {
		p := &peers[i]
		for _, detect := range []bool{false, true} {
			set, err := p.settings(s, t.TempDir(), "127.0.0.1:9092", "group", detect)
			if err != nil {
				t.Fatal(err)
			}
			path, err := set.write()
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range kinds {
				for _, column := range k.Columns {
					if !bytes.Contains(text, []byte(`"`+p.Column(column)+`"`)) {
						t.Errorf("%s: no column %s", p.name, p.Column(column))
					}
				}
				for _, c := range k.Rules {
					if n := bytes.Count(text, []byte(`"`+c.ID+`"`)); detect != (n == 1) {
						t.Errorf("%s: rule %s is there %d times, rules %t", p.name, c.ID, n, detect)
					}
				}
			}
		}
	}
}
