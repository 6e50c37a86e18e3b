package sigma

import (
	"strings"
	"testing"
)

// TestRefused: what cannot be honoured is refused with its place and the reason.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ detection, want string }{
		{item("F|foo: x"), `r.yml:6:5: unknown modifier "foo"`},
		{item("F|: x"), "ends where a modifier is expected"},
		{item("F|re: '(?=x)'"), "regular expression"},
		{item("F|re|contains: x"), "cannot be combined"},
		{item("F|i: x"), "belongs behind re"},
		{item("F|cidr: 300.0.0.0/8"), "r.yml:6:13: \"300.0.0.0/8\" is no network"},
		{item("F|cidr|cased: 10.0.0.0/8"), "cannot be combined"},
		{item("F|exists: maybe"), "true or false"},
		{item("F|exists|all: true"), "must be the only modifier"},
		{item("F|gt: x"), "wants a number"},
		{item("F|hour: x"), "wants an integer"},
		{item("F|base64: 'a*'"), "wildcards"},
		{item("F|contains|base64: a"), "cannot follow"},
		{item("F|utf16: a"), "byte order mark"},
		{item("F|wide: é"), "no text that an event could hold"},
		{item("F|base64offset|contains: ''"), "leaves nothing"},
		{item("F|expand: '%unknown%'"), "placeholder %unknown% has no definition"},
		{item("F|contains: null"), "null takes no modifiers"},
		{item("F: {a: b}"), "is a map"},
		{item("F: []"), "is empty"},
		{item("F: [[a]]"), "is a list"},
		{item("'|startswith': a"), "not defined for keywords"},
		{item("'|exists': true"), "not defined for keywords"},
		{"sel: {F: x}", "no condition"},
		{"sel: {F: x}\ncondition: other", `"other" is no search identifier`},
		{"sel: {F: x}\ncondition: 1 of other*", "matches no search identifier"},
		{"sel: {F: x}\ncondition: 2 of sel*", "only 1, any and all"},
		{"sel: {F: x}\ncondition: (sel", "not closed"},
		{"sel: {F: x}\ncondition: sel sel", `unexpected "sel"`},
		{"sel: {F: x}\ncondition: sel and", "it ends"},
		{"sel: {F: x}\ncondition: sel | count() > 5", "write a correlation"},
		{"sel: {F: x}\ntimeframe: 5m\ncondition: sel", "write a correlation"},
		{"sel:\ncondition: sel", "without a value"},
		{"sel: {}\ncondition: sel", "empty map"},
		{"sel: {F: x, F: y}\ncondition: sel", "already"},
		{"sel: {F: x}\ncondition: " + strings.Repeat("not ", 500) + "sel", "levels"},
	} {
		text := "title: test\nid: r\nlogsource: {product: test}\ndetection:\n" + indent(c.detection)
		s := Load([]File{{Path: "r.yml", Data: []byte(text)}}, Options{})
		if len(s.Results) != 1 || len(s.Rules) != 0 || s.Results[0].Err == nil {
			t.Errorf("%s\nwas not refused", c.detection)
			continue
		}
		if got := s.Results[0].Err.Error(); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "r.yml:") {
			t.Errorf("%s\ngot  %s\nwant %s", c.detection, got, c.want)
		}
	}
}

// TestDocuments: several in one file are judged one by one.
func TestDocuments(t *testing.T) {
	s := Load([]File{{Path: "r.yml", Data: []byte(`%YAML 1.2
---
title: one
id: one
author: [A. Uthor, B. Uthor]
license: DRL-1.1
references: [https://example.com]
related: [{id: other, type: similar}]
status: test
level: high
logsource: {product: test}
detection: {sel: {F|contains|all: x}, condition: sel}
custom: {a: b}
---
title: two
id: two
detection: {sel: {F: x}, condition: sel}
---
title: three
id: one
logsource: {product: test}
detection: {sel: {F: x}, condition: sel}
---
title: four
status: fine
logsource: {product: test}
detection: {sel: {F: x}, condition: sel}
---
title: five
id: five
correlation: {type: event_count}
---
- six
`)}, {Path: "empty.yml"}, {Path: "no.yml", Data: []byte("a: [")}}, Options{})
	want := []string{"", "r.yml:15:1: the rule has no logsource", "r.yml:20:5: the id is that of a rule in r.yml too", "r.yml:25:9: status", "a correlation wants rules", "a map is expected", "the file is empty", "no.yml:1:"}
	if len(s.Results) != len(want) {
		t.Fatalf("%d results, want %d: %v", len(s.Results), len(want), s.Results)
	}
	for i, r := range s.Results {
		if (r.Err == nil) != (want[i] == "") || r.Err != nil && !strings.Contains(r.Err.Error(), want[i]) {
			t.Errorf("document %d: %v, want %q", i+1, r.Err, want[i])
		}
	}
	if len(s.Rules) != 1 || len(s.Results[0].Warnings) != 1 {
		t.Fatalf("rules %v, warnings %v", s.Rules, s.Results[0].Warnings)
	}
	if r := s.Rules[0]; r.Author != "A. Uthor, B. Uthor" || r.License != "DRL-1.1" || len(r.References) != 1 || r.Level != "high" || len(r.Related) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestEmptyDocuments: what stands behind an empty document is read.
func TestEmptyDocuments(t *testing.T) {
	const one = "title: t\nid: ID\nlogsource: {product: x}\ndetection: {s: {a: b}, condition: s}\n"
	for _, between := range []string{"---\n", "---\n---\n", "---\n# nothing\n\n--- \n---\n"} {
		text := "---\n" + strings.Replace(one, "ID", "a", 1) + between + strings.Replace(one, "ID", "b", 1) + between + strings.Replace(one, "ID: ", "", 1) + "---\n"
		set := Load([]File{{Path: "r.yml", Data: []byte(text)}}, Options{})
		if len(set.Rules) != 3 || set.Rules[2].ID != "ID" || set.Rules[2].Line != strings.Count(text[:strings.LastIndex(text, "title")], "\n")+1 {
			t.Errorf("%q: %d rules, %v", between, len(set.Rules), set.Results)
		}
	}
}
