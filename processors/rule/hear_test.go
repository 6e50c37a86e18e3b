package rule

import (
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// hearing rules: each takes the alerts of those named; a rule that names none takes events.
func hearingRules(names map[string]string) (files []File) {
	for id, alerts := range names {
		text := "title: t\nkind: match\nwhy: w\nkey: ev.Actor\nsubscriptions: [{team: sec, severity: 3}]\nalert: {title: \"{actor}\", summary: s}\nid: " + id + "\n"
		if alerts == "" {
			text += "when: ev.Type == \"x\"\n"
		} else {
			text += "alerts: " + alerts + "\n"
		}
		files = append(files, File{id + ".yaml", []byte(text)})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

func TestAlertsOfOtherRules(t *testing.T) {
	set, err := Load(hearingRules(map[string]string{"A": "", "B": "", "C": "all", "D": "[C, A]", "E": "[D]"}))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		depth  int
		heard  bool
		alerts []string
	}{
		"A": {0, true, nil}, "B": {0, true, nil}, "C": {1, true, []string{"A", "B"}}, "D": {2, true, []string{"A", "C"}}, "E": {3, false, []string{"D"}},
	} {
		r := set.Rule(id)
		if r.Depth != want.depth || r.Heard != want.heard || !slices.Equal(r.Steps[0].Alerts, want.alerts) {
			t.Errorf("%s: depth %d, heard %t, alerts %v; want %+v", id, r.Depth, r.Heard, r.Steps[0].Alerts, want)
		}
	}
	x := set.Explain(set.Rule("D"), &event{Type: "x", Actor: "a"})
	if len(x) != 1 || x[0].Matched || !strings.Contains(x[0].Reason, "alerts of A, C") {
		t.Errorf("explained as %+v", x)
	}
	if _, err := set.Rule("D").SQL(); err == nil || !strings.Contains(err.Error(), "takes alerts") {
		t.Errorf("SQL: got error %v", err)
	}
}

// No event, not even one that says that it is an alert, is taken for an alert.
func TestEventsAreNoAlerts(t *testing.T) {
	set, err := Load(hearingRules(map[string]string{"A": "", "C": "all"}))
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{Records: make([]pipeline.Record, 1)}
	e := b.Next(0)
	e.Type, e.Rule, e.Actor, e.Source = "alert.firing", "A", "a", "tocsin"
	m := set.NewMatcher()
	if err := m.Process(t.Context(), b); err != nil || len(b.Signals) != 0 {
		t.Errorf("got %v, %v", b.Signals, err)
	}
	m.Hear("A", e, b)
	if len(b.Signals) != 1 || b.Signals[0].Rule != "C" {
		t.Errorf("the alert itself: got %v", b.Signals)
	}
}

func TestAlertsThatCannotBeHeard(t *testing.T) {
	for _, c := range []struct {
		rules map[string]string
		want  []string
	}{
		{map[string]string{"A": "[A]"}, []string{"A.yaml:8:10: alerts go in a circle: A -> A"}},
		{map[string]string{"A": "[B]", "B": "[C]", "C": "[X, A]", "X": ""}, []string{"A.yaml:8:10: alerts go in a circle: A -> C -> B -> A", "B.yaml:8:10: alerts go in a circle: B -> A -> C -> B"}},
		{map[string]string{"A": "[Bee]", "Bea": ""}, []string{"A.yaml:8:10: alerts: there is no rule \"Bee\"", `did you mean "Bea"?`}},
	} {
		_, err := Load(hearingRules(c.rules))
		if err == nil {
			t.Errorf("%v: loaded", c.rules)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: got\n%s\nwant %s", c.rules, err, want)
			}
		}
	}
}

// A key of which the alerts carry nothing would never be correlated.
func TestAlertsWithoutTheKey(t *testing.T) {
	files := hearingRules(map[string]string{"A": "", "B": "[A]"})
	files[1].Data = []byte(strings.Replace(string(files[1].Data), "key: ev.Actor", "key: ip(ev.SrcIP)", 1))
	_, err := Load(files)
	if err == nil || !strings.Contains(err.Error(), "B.yaml:8:10: alerts of A carry nothing of the key: src_ip") {
		t.Errorf("got %v", err)
	}
	files[1].Data = []byte(strings.Replace(string(files[1].Data), "ip(ev.SrcIP)", "firstOf(ip(ev.SrcIP), ev.Actor)", 1))
	if _, err := Load(files); err != nil {
		t.Error(err)
	}
}
