package sigma

import (
	"slices"
	"strings"
	"testing"
)

// compileRule compiles a rule of the detection given.
func compileRule(t *testing.T, detection string) *Set {
	t.Helper()
	text := "title: test\nid: r\nlogsource: {product: test}\ndetection:\n" + indent(detection)
	s := Load([]File{{Path: "r.yml", Data: []byte(text)}}, Options{Placeholders: map[string][]string{"admins": {"root", "adm*"}, "nets": {"10.0.0.0/8"}}})
	for _, r := range s.Results {
		if r.Err != nil {
			t.Fatalf("%v\n%s", r.Err, text)
		}
	}
	return s
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// item is a rule of one item.
func item(text string) string { return "sel:\n  " + text + "\ncondition: sel" }

// TestSemantics has a line for each edge of the specification and of our choices.
func TestSemantics(t *testing.T) {
	for _, c := range []struct{ detection, yes, no string }{
		// whole value, any case, one character for one
		{item(`F: AbC`), `{"F":"aBc"}`, `{"F":"abcd"}`},
		{item(`F: straße`), `{"F":"STRAßE"}`, `{"F":"STRASSE"}`},
		{item(`F: Ärger`), `{"F":"äRGER"}`, `{"F":"arger"}`},
		{item(`F: Kelvin`), `{"F":"Kelvin"}`, `{"F":"elvin"}`},
		{item(`F: x`), `{"F":"x"}`, `{"f":"x"}`},
		// wildcards and escapes
		{item(`F: 'a*c'`), `{"F":"a\n\nc"}`, `{"F":"a*cd"}`},
		{item(`F: 'a?c'`), `{"F":"aéc"}`, `{"F":"ac"}`},
		{item(`F: 'a?c'`), `{"F":"a\nc"}`, `{"F":"abbc"}`},
		{item(`F: '?b*'`), `{"F":"ab"}`, `{"F":"b"}`},
		{item(`F: '*a?'`), `{"F":"xaé"}`, `{"F":"xa"}`},
		{item(`F: 'ab*ab'`), `{"F":"abab"}`, `{"F":"ab"}`},
		{item(`F: '*a?b*c'`), `{"F":"aabxbc"}`, `{"F":"aabx"}`},
		{item(`F: 'a\b'`), `{"F":"a\\b"}`, `{"F":"ab"}`},
		{item(`F: 'a\\b'`), `{"F":"a\\b"}`, `{"F":"a\\\\b"}`},
		{item(`F: 'a\*b'`), `{"F":"a*b"}`, `{"F":"axb"}`},
		{item(`F: 'a\\*b'`), `{"F":"a\\xb"}`, `{"F":"a*b"}`},
		{item(`F: 'a\\\*b'`), `{"F":"a\\*b"}`, `{"F":"a\\xb"}`},
		{item(`F: '\\\\srv\share'`), `{"F":"\\\\srv\\share"}`, `{"F":"\\srv\\share"}`},
		{item(`F: '\'`), `{"F":"\\"}`, `{"F":""}`},
		{item(`F: 'a\?'`), `{"F":"a?"}`, `{"F":"ab"}`},
		{item(`F: '*\cmd.exe'`), `{"F":"C:\\CMD.exe"}`, `{"F":"cmd.exe"}`},
		// contains, startswith, endswith
		{item(`F|contains: b?d`), `{"F":"abcde"}`, `{"F":"abde"}`},
		{item(`F|startswith: ab`), `{"F":"ABc"}`, `{"F":"cab"}`},
		{item(`F|endswith: ab`), `{"F":"cAb"}`, `{"F":"abc"}`},
		{item(`F|contains|all: [a, b]`), `{"F":"ba"}`, `{"F":"b"}`},
		{item(`F|all|contains: [a, b]`), `{"F":["a","b"]}`, `{"F":["a","c"]}`},
		{item(`F|contains: ''`), `{"F":""}`, `{"F":null}`},
		{item(`F|contains: '*'`), `{"F":"x"}`, `{"G":"x"}`},
		// numbers and booleans
		{item(`F: 4625`), `{"F":4625}`, `{"F":46250}`},
		{item(`F: 4625`), `{"F":"4625"}`, `{"F":true}`},
		{item(`F: '4625'`), `{"F":4625}`, `{"F":4626}`},
		{item(`F: 1.0`), `{"F":1}`, `{"F":"1.0"}`},
		{item(`F: 1`), `{"F":1.0}`, `{"F":1.5}`},
		{item(`F: 100`), `{"F":1e2}`, `{"F":"1e2"}`},
		{item(`F: 0`), `{"F":-0}`, `{"F":"-0"}`},
		{item(`F: 9007199254740993`), `{"F":9007199254740993}`, `{"F":9007199254740992}`},
		{item(`F: true`), `{"F":true}`, `{"F":false}`},
		{item(`F: 'TRUE'`), `{"F":true}`, `{"F":1}`},
		{item(`F: '46*'`), `{"F":4625}`, `{"F":5}`},
		// null, empty, absent
		{item(`F: ''`), `{"F":""}`, `{}`},
		{item(`F: ''`), `{"F":""}`, `{"F":null}`},
		{item(`F: null`), `{}`, `{"F":""}`},
		{item(`F: null`), `{"F":null}`, `{"F":0}`},
		{item(`F:`), `{"G":1}`, `{"F":{}}`},
		{item(`F: [null, x]`), `{"F":"x"}`, `{"F":"y"}`},
		{item(`F|re: '.*'`), `{"F":""}`, `{}`},
		{"sel:\n  F: x\ncondition: not sel", `{}`, `{"F":"x"}`},
		// arrays, objects, names
		{item(`F: x`), `{"F":["a","X"]}`, `{"F":[]}`},
		{item(`F: x`), `{"F":[["x"]]}`, `{"F":{"x":"x"}}`},
		{item(`F: null`), `{"F":[1,null]}`, `{"F":[]}`},
		{item(`a.b: x`), `{"a.b":"x"}`, `{"a":{"c":"x"}}`},
		{item(`a.b: x`), `{"a":{"b":"x"}}`, `{"b":"x"}`},
		{item(`a.b: x`), `{"a.b":"x","a":{"b":"y"}}`, `{"a":{"b":"x"},"a.b":"y"}`},
		{item(`a.b: x`), `{"a":[{"b":"y"},{"b":"x"}]}`, `{"a":[{"c":"x"}]}`},
		{item(`ThreatName: x`), `{"Threat Name":"x"}`, `{"Threat_Name":"x"}`},
		{item(`F: "a\"b"`), `{"F":"a\"b"}`, `{"F":"ab"}`},
		{item(`F: é`), `{"F":"\u00e9"}`, `{"F":"e"}`},
		// exists
		{item(`F|exists: true`), `{"F":null}`, `{}`},
		{item(`F|exists: true`), `{"F":{}}`, `{"G":1}`},
		{item(`F|exists: true`), `{"F":[]}`, `{"FF":1}`},
		{item(`F|exists: false`), `{}`, `{"F":""}`},
		// cased, neq
		{item(`F|cased: aB`), `{"F":"aB"}`, `{"F":"ab"}`},
		{item(`F|contains|cased: B`), `{"F":"aBc"}`, `{"F":"abc"}`},
		{item(`F|neq: [a, b]`), `{"F":"c"}`, `{"F":"A"}`},
		{item(`F|neq: a`), `{}`, `{"F":"a"}`},
		{item(`F|neq: null`), `{"F":0}`, `{}`},
		{item(`F|neq|contains: a`), `{"F":"b"}`, `{"F":"ba"}`},
		// re
		{item(`F|re: 'a.c'`), `{"F":"xabcx"}`, `{"F":"ABC"}`},
		{item(`F|re|i: 'a.c'`), `{"F":"ABC"}`, `{"F":"A\nC"}`},
		{item(`F|re|i|s: 'a.c'`), `{"F":"A\nC"}`, `{"F":"AC"}`},
		{item(`F|re|m: '^b$'`), `{"F":"a\nb\nc"}`, `{"F":"ab"}`},
		{item(`F|re: ['^x', 'y$']`), `{"F":"ay"}`, `{"F":"yx"}`},
		{item(`F|re: '(foo|bar)+baz'`), `{"F":"barbaz"}`, `{"F":"baz"}`},
		{item(`F|re: '(foo|b?)z'`), `{"F":"z"}`, `{"F":"foo"}`},
		// cidr
		{item(`F|cidr: 10.0.0.0/8`), `{"F":"10.1.2.3"}`, `{"F":"11.1.2.3"}`},
		{item(`F|cidr: [192.168.1.0/24, '2001:db8::/32']`), `{"F":"2001:DB8::1"}`, `{"F":"::ffff:192.168.1.1"}`},
		{item(`F|cidr: 0.0.0.0/0`), `{"F":"1.2.3.4"}`, `{"F":"host"}`},
		// numbers compared
		{item(`F|gt: 5`), `{"F":5.5}`, `{"F":5}`},
		{item(`F|gte: 5`), `{"F":"5"}`, `{"F":4}`},
		{item(`F|lt: 5`), `{"F":-1}`, `{"F":"x"}`},
		{item(`F|lte: 5`), `{"F":5}`, `{}`},
		{item(`F|lt: 5`), `{"F":"4e0"}`, `{"F":"-inf"}`},
		// time parts
		{item(`F|hour: 23`), `{"F":"2026-11-23T23:59:00+05:00"}`, `{"F":"2026-11-23T18:59:00Z"}`},
		{item(`F|hour: 9`), `{"F":"2026-11-23T09:05:00.5+0000"}`, `{"F":"09:05:00"}`},
		{item(`F|hour: 9`), `{"F":"2026-11-23 09:05:00 UTC"}`, `{"F":"2026-11-23 09:05:00 MET"}`},
		{item(`F|minute: 7`), `{"F":"2026-11-23 10:07:59.123"}`, `{"F":"2026-11-23 07:10:07"}`},
		{item(`F|day: 23`), `{"F":"2026-11-23"}`, `{"F":"2023-11-02"}`},
		{item(`F|week: 53`), `{"F":"2021-01-01"}`, `{"F":"2021-01-04"}`},
		{item(`F|month: 11`), `{"F":"2026-11-23T00:00:00Z"}`, `{"F":"11"}`},
		{item(`F|year: 2026`), `{"F":1795392000}`, `{"F":2026}`},
		{item(`F|hour|gte: 22`), `{"F":"2026-11-23T22:00:00Z"}`, `{"F":"2026-11-23T21:59:00Z"}`},
		// fieldref
		{item(`F|fieldref: G`), `{"F":"a","G":"A"}`, `{"F":"a","G":"b"}`},
		{item(`F|fieldref: G`), `{"F":1,"G":"1"}`, `{}`},
		{item(`F|fieldref|neq: G`), `{"F":"a","G":"b"}`, `{"F":"a","G":"a"}`},
		{item(`F|fieldref|endswith: G`), `{"F":"xa","G":"A"}`, `{"F":"ax","G":"a"}`},
		{item(`F|fieldref: G`), `{"F":["a","b"],"G":["c","b"]}`, `{"F":["a"],"G":null}`},
		// encodings
		{item(`F|base64: foo`), `{"F":"Zm9v"}`, `{"F":"foo"}`},
		{item(`F|base64offset|contains: 'http://'`), `{"F":"xxodHRwOi8vyy"}`, `{"F":"http://"}`},
		{item(`F|base64offset|contains: 'IEX '`), `{"F":"zzJRVggzz"}`, `{"F":"IEX"}`},
		{item(`F|wide|base64offset|contains: 'http://'`), `{"F":"aAB0AHQAcAA6AC8ALw"}`, `{"F":"aHR0cDovL"}`},
		{item(`F|wide|base64offset|contains: 'http://'`), `{"F":"xgAdAB0AHAAOgAvAC8Ax"}`, `{"F":"x"}`},
		{item(`F|utf16le|base64: ab`), `{"F":"YQBiAA=="}`, `{"F":"YWI="}`},
		{item(`F|utf16be|base64: ab`), `{"F":"AGEAYg=="}`, `{"F":"YQBiAA=="}`},
		{item(`F|utf16|base64: ab`), `{"F":"//5hAGIA"}`, `{"F":"YQBiAA=="}`},
		// windash
		{item(`F|windash|contains: ' -f'`), `{"F":"x /f"}`, `{"F":"x f"}`},
		{item(`F|contains|windash: ' -f -x'`), `{"F":"a –F ―x"}`, `{"F":"a -f x"}`},
		{item(`F|windash: param-name`), `{"F":"param-name"}`, `{"F":"param/name"}`},
		{item(`F|windash|contains: ' -b-c'`), `{"F":" /b-c"}`, `{"F":" -b/c"}`},
		{item(`F|windash|endswith: '-x'`), `{"F":"a—x"}`, `{"F":"x"}`},
		// expand
		{item(`F|expand: '%admins%'`), `{"F":"Root"}`, `{"F":"%admins%"}`},
		{item(`F|expand: 'x\%%admins%'`), `{"F":"x%admin"}`, `{"F":"xroot"}`},
		{item(`F|expand|cidr: '%nets%'`), `{"F":"10.9.9.9"}`, `{"F":"9.9.9.9"}`},
		{item(`F: '%admins%'`), `{"F":"%ADMINS%"}`, `{"F":"root"}`},
		// keywords
		{"k: [foo, b?r]\ncondition: k", `{"a":{"b":["xFOOx"]}}`, `{"foo":"x"}`},
		{"k:\n  '|all': [foo, bar]\ncondition: k", `{"a":"foo","b":"bar"}`, `{"a":"foo"}`},
		{"k:\n  '|re': ['^f.o$']\ncondition: k", `{"a":"foo"}`, `{"a":"foox"}`},
		{"k: 4625\ncondition: k", `{"a":[{"b":4625}]}`, `{"a":46}`},
		{"k: [foo, {F: x}]\ncondition: k", `{"F":"x"}`, `{"F":"y"}`},
		{"k:\n  - {F: x, G: y}\n  - {H: z}\ncondition: k", `{"H":"z"}`, `{"F":"x"}`},
		// conditions
		{conditioned("a or b and c"), `{"A":1}`, `{"B":1}`},
		{conditioned("(a or b) and c"), `{"B":1,"C":1}`, `{"A":1}`},
		{conditioned("not a and b"), `{"B":1}`, `{"A":1,"B":1}`},
		{conditioned("NOT a AND b"), `{"B":1}`, `{"A":1,"B":1}`},
		{conditioned("1 of them"), `{"C":1}`, `{"D":1}`},
		{conditioned("any of a*"), `{"A":1}`, `{"B":1}`},
		{conditioned("all of them"), `{"A":1,"B":1,"C":1}`, `{"A":1,"B":1,"D":1}`},
		{conditioned("b and not 1 of _*"), `{"B":1}`, `{"B":1,"D":1}`},
		{conditioned("all of *"), `{"A":1,"B":1,"C":1}`, `{"D":1}`},
		{conditioned("[a, b]"), `{"B":1}`, `{"C":1}`},
	} {
		m := compileRule(t, c.detection).Compile(nil).NewMatcher()
		for event, want := range map[string]bool{c.yes: true, c.no: false} {
			got, err := m.JSON([]byte(event))
			if err != nil {
				t.Fatalf("%s: %v", event, err)
			}
			if (len(got) == 1) != want {
				t.Errorf("%s\nmatches %s: %t, want %t", c.detection, event, !want, want)
			}
		}
	}
}

// conditioned is a rule of the searches a, b, c and _d.
func conditioned(condition string) string {
	return "a: {A: 1}\nb: {B: 1}\nc: {C: 1}\n_d: {D: 1}\ncondition: " + condition
}

func TestEventsThatAreRefused(t *testing.T) {
	m := compileRule(t, item("F: x")).Compile(nil).NewMatcher()
	for _, line := range []string{"", "[]", "1", `{"F":"x"`, `{"F":"x"} x`, strings.Repeat(`{"F":`, 300) + "1" + strings.Repeat("}", 300)} {
		if got, err := m.JSON([]byte(line)); err == nil {
			t.Errorf("%.40q gave %v, want an error", line, got)
		}
	}
}

func TestLogSourceRoutes(t *testing.T) {
	s := Load([]File{
		{Path: "a.yml", Data: []byte("id: a\ntitle: a\nlogsource: {product: windows, category: process_creation}\ndetection: {s: {F: x}, condition: s}\n")},
		{Path: "b.yml", Data: []byte("id: b\ntitle: b\nlogsource: {product: linux}\ndetection: {s: {F: x}, condition: s}\n")},
		{Path: "c.yml", Data: []byte("id: c\ntitle: c\nlogsource: {service: sysmon}\ndetection: {s: {F: x}, condition: s}\n"), Inactive: true},
	}, Options{})
	for source, want := range map[string]string{
		"":                "a b",
		"product=windows": "",
		"product=windows,category=process_creation,service=sysmon": "a",
		"product=linux,service=auditd":                             "b",
	} {
		var from *LogSource
		if source != "" {
			l, err := ParseLogSource(source)
			if err != nil {
				t.Fatal(err)
			}
			from = &l
		}
		got, err := s.Compile(from).NewMatcher().JSON([]byte(`{"F":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range got {
			ids = append(ids, r.Key())
		}
		slices.Sort(ids)
		if strings.Join(ids, " ") != want {
			t.Errorf("source %q: %v, want %s", source, ids, want)
		}
	}
	if _, err := ParseLogSource("produkt=x"); err == nil {
		t.Error("an unknown part of a log source was taken")
	}
}

// TestNoAllocation: an event that the index has seen the like of costs no allocation.
func TestNoAllocation(t *testing.T) {
	m := compileRule(t, "a:\n  F|contains: [foo, Bar]\n  G: [1, 2, 3, 4, 5]\nk: [needle]\ncondition: a or k").Compile(nil).NewMatcher()
	line := []byte(`{"F":"xx \"FOO\" Äx","G":5.0,"H":{"i":["NEEDLES"]}}`)
	if got := testing.AllocsPerRun(100, func() {
		if r, err := m.JSON(line); err != nil || len(r) != 1 {
			t.Fatal(r, err)
		}
	}); got > 0 {
		t.Errorf("%v allocations an event", got)
	}
}
