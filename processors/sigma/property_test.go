package sigma

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var events = flag.Int("events", 8_000, "generated events of the property test")

// tryAll judges the matcher's event by every rule, without index and without remembering answers.
func (m *Matcher) tryAll() []*Rule {
	var matched []*Rule
	var holds func(t *tree) bool
	holds = func(t *tree) bool {
		switch t.op {
		case opAtom:
			a := &m.program.atoms[t.atom]
			return a.judge(m, a.tests)
		case opNot:
			return !holds(&t.kids[0])
		}
		yes := 0
		for i := range t.kids {
			if holds(&t.kids[i]) {
				yes++
			}
		}
		return t.op == opOr && yes > 0 || t.op == opAnd && yes == len(t.kids)
	}
	for i := range m.program.trees {
		if holds(&m.program.trees[i]) {
			matched = append(matched, m.program.rules[i])
		}
	}
	return matched
}

func keysOf(rules []*Rule) []string {
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.Key())
	}
	slices.Sort(ids)
	return ids
}

// agree reports a difference between index and scan for the matcher's event.
func agree(t *testing.T, m *Matcher, line []byte) int {
	t.Helper()
	got, err := m.JSON(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	index, scan := keysOf(got), keysOf(m.tryAll())
	if !slices.Equal(index, scan) {
		t.Fatalf("%s\nby the index %v\nby trying all %v", line, index, scan)
	}
	return len(index)
}

// maker draws rules and events from a small world, so that they meet often.
type maker struct{ *rand.Rand }

func (r maker) pick(of ...string) string { return of[r.IntN(len(of))] }

func (r maker) word() string {
	n := 1 + r.IntN(4)
	var b strings.Builder
	for range n {
		b.WriteString(r.pick("a", "B", "é", "/", "-x", " -f", "power", "shell.exe", "cmd", "\\", "K", "ſ"))
	}
	return b.String()
}

func (r maker) field() string { return r.pick("A", "B", "C", "d.e", "N") }

func (r maker) item() (key string, value any) {
	values := make([]any, 1+r.IntN(5))
	fill := func(f func() any) any {
		for i := range values {
			values[i] = f()
		}
		return values
	}
	text := func() any {
		w := strings.ReplaceAll(r.word(), "\\", r.pick("\\", "\\\\"))
		if r.IntN(4) == 0 {
			w += r.pick("*", "?") + r.word()
		}
		return w
	}
	f := r.field()
	switch r.IntN(14) {
	case 0:
		return f + "|exists", r.IntN(2) == 0
	case 1:
		return f, nil
	case 2:
		return f + "|cidr", fill(func() any { return fmt.Sprintf("10.%d.0.0/%d", r.IntN(3), 8+r.IntN(12)) })
	case 3:
		return f + "|" + r.pick("gt", "gte", "lt", "lte"), r.IntN(20)
	case 4:
		return f + "|re" + r.pick("", "|i"), fill(func() any {
			return r.pick("^", "", ".*") + r.pick("a", "(power|cmd)", "(é|b)?", "[ab]+", "shell\\.exe", "x{2,3}") + r.pick("$", "", "B")
		})
	case 5:
		return f + "|fieldref" + r.pick("", "|endswith", "|neq"), r.field()
	case 6:
		return f, fill(func() any { return r.IntN(20) })
	case 7:
		return f + "|neq", fill(text)
	case 8:
		return f + "|windash|contains", fill(text)
	case 9:
		return f + "|cased|" + r.pick("contains", "startswith"), fill(text)
	case 10:
		return "|" + r.pick("contains", "all"), fill(text)
	}
	return f + "|" + r.pick("contains", "startswith", "endswith", "contains|all"), fill(text)
}

func (r maker) rule(id int) []byte {
	detection := map[string]any{}
	n := 1 + r.IntN(3)
	for i := range n {
		search := map[string]any{}
		for range 1 + r.IntN(2) {
			k, v := r.item()
			search[k] = v
		}
		detection[fmt.Sprintf("s%d", i)] = search
	}
	detection["condition"] = r.pick("1 of s*", "all of them", "s0 and not 1 of s*", "s0", "not s0", "all of s* or not s0")
	b, _ := json.Marshal(map[string]any{"id": fmt.Sprint(id), "title": "t", "logsource": map[string]any{"product": "p"}, "detection": detection})
	return b // JSON is YAML
}

func (r maker) scalar() any {
	switch r.IntN(8) {
	case 0:
		return r.IntN(20)
	case 1:
		return nil
	case 2:
		return fmt.Sprintf("10.%d.%d.1", r.IntN(4), r.IntN(256))
	case 3:
		return r.IntN(2) == 0
	}
	return r.word() + r.pick("", "", r.word())
}

func (r maker) event() []byte {
	e := map[string]any{}
	for range r.IntN(6) {
		v := r.scalar()
		if r.IntN(5) == 0 {
			v = []any{r.scalar(), r.scalar()}
		}
		switch f := r.pick("A", "B", "C", "d.e", "d", "N", "Z", "a b"); f {
		case "d":
			e[f] = map[string]any{"e": v}
		default:
			e[f] = v
		}
	}
	b, _ := json.Marshal(e)
	return b
}

// TestIndexEqualsScan: over generated rules and events, the index finds every rule that matches. -events says how many.
func TestIndexEqualsScan(t *testing.T) {
	r := maker{rand.New(rand.NewPCG(1, 2))}
	matched := 0
	var m *Matcher
	for i := range *events {
		if i%2000 == 0 { // another set of rules
			var files []File
			for id := range 60 {
				files = append(files, File{Path: fmt.Sprint(id), Data: r.rule(id)})
			}
			s := Load(files, Options{})
			if len(s.Rules) < 50 {
				t.Fatalf("only %d of 60 rules compile: %v", len(s.Rules), s.Results)
			}
			m = s.Compile(nil).NewMatcher()
		}
		matched += agree(t, m, r.event())
	}
	if matched < *events {
		t.Errorf("only %d matches in %d events: the worlds do not meet", matched, *events)
	}
}

// TestGlobEqualsRegexp holds patterns against regular expressions that say the same.
func TestGlobEqualsRegexp(t *testing.T) {
	r := maker{rand.New(rand.NewPCG(3, 4))}
	for range 100_000 {
		var glob, text, expression strings.Builder
		expression.WriteString("(?s)^")
		for range r.IntN(6) {
			switch c := r.pick("a", "b", "é", "*", "?"); c {
			case "*":
				glob.WriteString(c)
				expression.WriteString(".*")
			case "?":
				glob.WriteString(c)
				expression.WriteString(".")
			default:
				glob.WriteString(c)
				expression.WriteString(c)
			}
		}
		for range r.IntN(8) {
			text.WriteString(r.pick("a", "b", "é"))
		}
		want := regexp.MustCompile(expression.String() + "$").MatchString(text.String())
		if got := newPattern(readString(glob.String(), false), false).match(fold(text.String())); got != want {
			t.Fatalf("%q matches %q: %t, want %t", glob.String(), text.String(), got, want)
		}
	}
}

// FuzzLoad: no file makes the compiler or the matcher panic, and index and scan agree.
func FuzzLoad(f *testing.F) {
	r := maker{rand.New(rand.NewPCG(5, 6))}
	for i := range 20 {
		f.Add(r.rule(i), r.event())
	}
	f.Add([]byte("title: x\nlogsource: {product: p}\ndetection:\n  sel:\n    A|windash|contains: ' -x'\n  k: [foo]\n  condition: not sel or k\n"), []byte(`{"A":"–x","b":{"c":["foo"]}}`))
	f.Add([]byte(correlated+"  {type: value_median, rules: [failed, worked], group-by: [U], timespan: 5s, condition: {field: V, gte: 1}}\n---\nfilter: {rules: any, s: {U: x}, condition: not s}\n"), []byte(`{"A":"ok","U":1,"V":"2","time":"2026-11-23"}`))
	f.Fuzz(func(t *testing.T, rule, event []byte) {
		s := Load([]File{{Path: "f", Data: rule}}, Options{Placeholders: map[string][]string{"p": {"x", "*y"}}})
		p := s.Compile(nil)
		m, c := p.NewMatcher(), p.NewCorrelator()
		if _, err := m.JSON(event); err == nil {
			agree(t, m, event)
			matched, _ := m.JSON(event)
			for range 3 {
				at, _ := m.Time()
				c.Event(at, matched, m)
			}
		}
	})
}

// TestGrammar: a line is read where it is valid JSON, and not otherwise, however it is broken.
func TestGrammar(t *testing.T) {
	m := Load([]File{{Path: "r", Data: []byte("title: t\nid: r\nlogsource: {product: p}\ndetection: {s: {a.b: x}, k: [y], condition: s or k}")}}, Options{}).Compile(nil).NewMatcher()
	r := rand.New(rand.NewPCG(11, 12))
	const tokens = `{}[]:,""\u0041nulltruefalse-01.5e+9 ` + "\x01\xff"
	good := []string{`{}`, ` {"a":{"b":["x",1,{}, []]},"c":null} `, `{"a.b":"\u0041\n","k":[[1e5,-0.1,true],false]}`, `{"a":{"b":{"c":{"d":[{"e":1}]}}}}`}
	valid := 0
	for range 200_000 {
		line := []byte(good[r.IntN(len(good))])
		for range r.IntN(3) {
			switch i := r.IntN(len(line)); r.IntN(3) {
			case 0:
				line = slices.Delete(line, i, i+1)
			case 1:
				line = slices.Insert(line, i, tokens[r.IntN(len(tokens))])
			default:
				line[i] = tokens[r.IntN(len(tokens))]
			}
			if len(line) == 0 {
				break
			}
		}
		trimmed := strings.TrimLeft(string(line), " \t\r\n")
		want := json.Valid(line) && strings.HasPrefix(trimmed, "{")
		if want {
			valid++
		}
		if _, err := m.JSON(line); (err == nil) != want {
			t.Fatalf("%q: %v, valid %t", line, err, want)
		}
	}
	if valid < 20_000 {
		t.Errorf("only %d lines were valid", valid)
	}
}

// TestStrings: a string stands for what encoding/json makes of it, and keys lose their blanks.
func TestStrings(t *testing.T) {
	m := Load([]File{{Path: "r", Data: []byte("title: t\nid: r\nlogsource: {product: p}\ndetection: {s: {kéy: x}, condition: s}")}}, Options{}).Compile(nil).NewMatcher()
	r := maker{rand.New(rand.NewPCG(13, 14))}
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(r.pick("a", "Z", "é", " ", `\\`, `\"`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u00e9`, `\u0000`, `\ud83d`, `\uDE00`, `\ud83d\ude00`, "longer than eight"))
		}
		quoted := `"` + b.String() + `"`
		var want string
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatal(err)
		}
		if _, err := m.JSON([]byte(`{"k\u00E9 y":` + quoted + `}`)); err != nil {
			t.Fatal(err)
		}
		if v := m.values[0]; v.raw != want || m.folded(&v) != fold(want) || m.folded(&v) != string(appendFoldRunes(nil, want)) {
			t.Fatalf("%s is read as %q, folded %q; want %q", quoted, v.raw, m.folded(&v), want)
		}
	}
}
