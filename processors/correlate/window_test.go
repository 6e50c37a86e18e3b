package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestWindowOfAnAbsence: what a trigger opens ends with what is expected, for every team and under the same id; a trigger
// that is over by now, or that names nothing, opens nothing.
func TestWindowOfAnAbsence(t *testing.T) {
	set := load(t, `
id: X
kind: absence
key: ev.Actor
trigger: {when: ev.Type == "chaos.started"}
expect: {when: ev.Type == "chaos.finished"}
within: 20m
opens: chaos
entities: {environment: environment, host: host}
`)
	said := func(now float64, events ...pipeline.Event) []pipeline.Control {
		e, out := New(set, Config{}), &pipeline.Output{Now: at(now)}
		for _, s := range signals(t, set, 0, events...) {
			e.Process(&s, out)
		}
		return out.Controls
	}
	begin := pipeline.Event{Time: at(0), Type: "chaos.started", Actor: "exp-12", Host: "web-2"}
	end := pipeline.Event{Time: at(300), Type: "chaos.finished", Actor: "exp-12", Host: "web-2"}
	got := said(1, begin, end)
	var teams []string
	ids := map[uuid.UUID]bool{}
	for i, c := range got {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		teams = append(teams, c.Action+" "+c.Team)
		ids[c.ID] = true
		if c.Silence != got[0].Silence || c.By != "rule X" || c.Reason != "exp-12" {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if want := "silence dev, silence sec, silence ops, silence mon, expire dev, expire sec, expire ops, expire mon"; strings.Join(teams, ", ") != want || len(ids) != 8 {
		t.Fatalf("%d ids, %v, want %s", len(ids), teams, want)
	}
	if c := got[0]; c.Window != "chaos" || c.Match != (pipeline.Matcher{Entity: "host=web-2"}) || !c.Until.Equal(at(20*60)) {
		t.Errorf("opened %+v", c)
	}
	if again := said(1, begin, end); !slices.EqualFunc(again, got, func(a, b pipeline.Control) bool { return a.ID == b.ID }) {
		t.Error("a replay gives other records")
	}
	nowhere, far := begin, begin
	nowhere.Host = ""
	far.Host = strings.Repeat("x", 2000)
	for what, list := range map[string][]pipeline.Control{
		"that is over": said(21*60, begin), "that names nothing": said(1, nowhere), "of which the end came first": said(1, end, begin),
		"that no desk would obey": said(1, far),
	} {
		if len(list) > 0 {
			t.Errorf("a trigger %s says %s", what, fmt.Sprint(list))
		}
	}
}
