package rule

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// matches returns which of the events a rule of kind match signals, by index.
func matches(t *testing.T, set *Set, events ...pipeline.Event) (hits []int) {
	t.Helper()
	b := &pipeline.Batch{Records: make([]pipeline.Record, len(events))}
	for i := range events {
		b.Records[i].Offset = int64(i)
		e := b.Next(i)
		e.Type, e.SrcIP, e.Digest, e.Host, e.Labels = events[i].Type, events[i].SrcIP, events[i].Digest, "h", events[i].Labels
		e.Attrs, e.IngestTime = events[i].Attrs, events[i].IngestTime
	}
	if err := set.NewMatcher().Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Signals {
		hits = append(hits, int(s.Offset))
	}
	return hits
}

func hostRule(when string) File {
	return File{"R.yaml", []byte("id: R\nkind: match\nkey: ev.Host\nwhen: |\n  " + when + "\n" + minimal)}
}

func TestLists(t *testing.T) {
	blocked := File{"lists/blocked.list", []byte("# who is blocked\n10.1.0.0/16\n\n 192.0.2.7 \r\n2001:db8::/32\n::ffff:198.51.100.0/120\n")}
	hashes := File{"hashes.list", []byte("sha256:aa\nsha256:bb")}
	f := func(when string, want ...int) {
		t.Helper()
		set, err := Load([]File{hostRule(when), blocked, hashes})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		got := matches(t, set,
			pipeline.Event{SrcIP: netip.MustParseAddr("10.1.2.3"), Digest: "sha256:aa"},
			pipeline.Event{SrcIP: netip.MustParseAddr("::ffff:192.0.2.7"), Digest: "sha256:AA"},
			pipeline.Event{SrcIP: netip.MustParseAddr("192.0.2.8"), Digest: "sha256:bb"},
			pipeline.Event{SrcIP: netip.MustParseAddr("2001:db8::1"), Attrs: []pipeline.Attr{{Key: "hash", Value: "sha256:bb"}}},
			pipeline.Event{SrcIP: netip.MustParseAddr("198.51.100.9")},
			pipeline.Event{},
		)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	f(`inList(ev.SrcIP, "blocked")`, 0, 1, 3, 4)
	f(`!inList(ev.SrcIP, "blocked")`, 2, 5)
	f(`inList(ev.Digest, "hashes")`, 0, 2)
	f(`inList(ev.Attr("hash"), "hashes") || (inList(ev.SrcIP, "blocked") && inList(ev.Digest, "hashes"))`, 0, 3)
}

func TestListsThatAreWrong(t *testing.T) {
	bad := File{"bad.list", []byte("10.0.0.0/8\nexample.com\n10.0.0.0/40\n")}
	f := func(when string, want ...string) {
		t.Helper()
		_, err := Load([]File{hostRule(when), bad, {"dir/x.list", nil}})
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q", when, err, w)
			}
		}
	}
	f(`inList(ev.SrcIP, "bed")`, `R.yaml:4:`, `there is no list "bed"`, `did you mean "bad"?`)
	f(`inList(ev.SrcIP, "bad")`, "bad.list:2:1: this is no address and no network", "bad.list:3:1:")
	f(`inList(ev.SrcIP, ev.Host)`, "the name of a list must be written out")
	f(`inList(lower(ev.Host), "bad")`, "a list can be asked for a field or an attribute")
	f(`(inList(ev.Host, "bad") ? 1 : 2) == 1`, "inList is a condition of its own")
	f(`any(ev.Labels, inList(#, "bad"))`, "inList is a condition of its own")
	f(`inList(ev.Severity, "bad")`, "R.yaml:5:13: when: cannot use uint8")
	if _, err := Load([]File{{"a/x.list", nil}, {"b/x.list", nil}}); err == nil || !strings.Contains(err.Error(), `list "x" is in a/x.list as well`) {
		t.Errorf("two lists of a name: %v", err)
	}
	many := File{"many.list", []byte(strings.Repeat("no network\n", 1000))}
	_, err := Load([]File{hostRule(`inList(ev.SrcIP, "many")`), many})
	if n := strings.Count(fmt.Sprint(err), "many.list"); n != maxListErrors+1 || !strings.Contains(fmt.Sprint(err), "980 more lines") {
		t.Errorf("%d lines of errors", n)
	}
}

// Two lists of a million entries: of texts and of addresses.
func TestListOfAMillion(t *testing.T) {
	const n = 1_000_000
	var texts, networks bytes.Buffer
	for i := range n {
		texts.WriteString("sha256:")
		texts.Write(strconv.AppendInt(texts.AvailableBuffer(), int64(i)*7, 10))
		texts.WriteByte('\n')
		networks.Write(netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}).AppendTo(networks.AvailableBuffer()))
		networks.WriteByte('\n')
	}
	began := time.Now()
	set, err := Load([]File{hostRule(`inList(ev.Digest, "texts") && inList(ev.SrcIP, "networks")`), {"texts.list", texts.Bytes()}, {"networks.list", networks.Bytes()}})
	if err != nil {
		t.Fatal(err)
	}
	loaded := time.Since(began)
	addr := netip.AddrFrom4([4]byte{1, 3, 4, 5})
	if hits := matches(t, set,
		pipeline.Event{Digest: "sha256:6999993", SrcIP: addr}, pipeline.Event{Digest: "sha256:8", SrcIP: addr},
		pipeline.Event{Digest: "sha256:7", SrcIP: netip.AddrFrom4([4]byte{9, 3, 4, 5})},
	); len(hits) != 1 || hits[0] != 0 {
		t.Errorf("got %v", hits)
	}
	t.Logf("two lists of a million loaded in %v", loaded)
}

func TestExceptions(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 12, 0, 0, 0, time.UTC) }
	file := File{"office.exceptions.yaml", []byte(`exceptions:
  - id: scanner
    rules: [R]
    when: ev.Attr("agent") == "nessus" && inList(ev.SrcIP, "scanners")
    why: The weekly scan.
    owner: sec:maria
    ticket: SEC-90
    expires: 2026-11-24
`)}
	files := []File{hostRule(`ev.Type == "auth.failed"`), file, {"scanners.list", []byte("10.9.0.0/16\n")}}
	set, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	nessus := []pipeline.Attr{{Key: "agent", Value: "nessus"}}
	in, out := netip.MustParseAddr("10.9.1.1"), netip.MustParseAddr("192.0.2.1")
	events := []pipeline.Event{
		{Type: "auth.failed", SrcIP: in, Attrs: nessus, IngestTime: day(23)},
		{Type: "auth.failed", SrcIP: out, Attrs: nessus, IngestTime: day(23)},
		{Type: "auth.failed", SrcIP: in, IngestTime: day(23)},
		{Type: "auth.failed", SrcIP: in, Attrs: nessus, IngestTime: day(24)}, // it has expired
		{Type: "other", SrcIP: in, Attrs: nessus, IngestTime: day(23)},
	}
	if got := fmt.Sprint(matches(t, set, events...)); got != "[1 2 3]" {
		t.Errorf("got %s", got)
	}
	events[0].Host = "h"
	if x := set.Explain(set.Rules[0], &events[0])[0]; x.Matched || x.Reason != "exception scanner holds until 2026-11-24: SEC-90" {
		t.Errorf("got %s", x)
	}
	plain, err := Load(files[:1])
	if err != nil {
		t.Fatal(err)
	}
	if plain.Rules[0].Digest != set.Rules[0].Digest {
		t.Error("an exception costs the rule its state")
	}
}

func TestExceptionsThatAreWrong(t *testing.T) {
	file := File{"a.exceptions.yaml", []byte(`exceptions:
  - id: one
    rules: [Q]
    when: ev.Tipe == "x"
    why: w
    owner: o
    expires: soon
  - id: one
    rules: "*"
    when: "true"
    why: w
    owner: o
    ticket: T-1
    expires: 2027-01-01
    until: never
`)}
	_, err := Load([]File{hostRule("true"), file})
	for _, want := range []string{
		`a.exceptions.yaml:3:13: there is no rule "Q"`, `a.exceptions.yaml:4:`, `the event has no field "Tipe"`, `expires: "soon" is no date`, "the exception has no ticket",
		`exception "one" is in a.exceptions.yaml:2 as well`, `unknown key "until"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the errors lack %q:\n%v", want, err)
		}
	}
}

// What leads to an alert is excepted; what an absence expects still counts, or an exception would raise alerts.
func TestExceptionsAndSteps(t *testing.T) {
	set, err := Load([]File{
		{"A.yaml", []byte("id: A\nkind: absence\nkey: ev.Host\ntrigger: {when: ev.Type == \"trigger\"}\nexpect: {when: ev.Type == \"expect\"}\nwithin: 1m\nwhile: {when: ev.Type == \"while\", within: 5m}\n" + minimal)},
		{"S.yaml", []byte("id: S\nkind: sequence\nkey: ev.Host\nsteps:\n  - {id: a, when: ev.Type == \"trigger\", within: 1m}\n  - {id: b, when: ev.Type == \"while\"}\nuntil: {when: ev.Type == \"expect\"}\n" + minimal)},
		{"all.exceptions.yml", []byte("exceptions: [{id: all, rules: '*', when: 'true', why: w, owner: o, ticket: t, expires: 2027-01-01}]")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := matches(t, set, pipeline.Event{Type: "trigger"}, pipeline.Event{Type: "expect"}, pipeline.Event{Type: "while"})
	if fmt.Sprint(got) != "[1 1]" {
		t.Errorf("got %v, want what is expected and what forgets", got)
	}
}

// TestRuleFileBringsItsLists: a rule's file alone is read with the lists beside it, and with its folder each list once.
func TestRuleFileBringsItsLists(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "id: a", "b.yaml": "id: b", "known.list": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, c := range []struct{ paths, want []string }{
		{[]string{"a.yaml"}, []string{"a.yaml", "known.list"}},
		{[]string{"a.yaml", "b.yaml"}, []string{"a.yaml", "b.yaml", "known.list"}},
		{[]string{"."}, []string{"a.yaml", "b.yaml", "known.list"}},
		{[]string{"known.list", "b.yaml"}, []string{"known.list", "b.yaml"}},
	} {
		files, err := ReadPaths(c.paths...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: read %v, want %v", c.paths, got, c.want)
		}
	}
}
