package correlate

import (
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// The teams that own a rule are told that it is not judged any more, and its state is left alone.
func TestOwnersHearOfTheQuarantine(t *testing.T) {
	set := load(t, plainCount+"\nsubscriptions: [{team: sec, severity: 4}, {team: dev, severity: {crit: 3}}]\nattack: [T1110]")
	r := set.Rules[0]
	in := signals(t, set, 0, pipeline.Event{Time: at(1), Type: "auth.failed", Actor: "a", Host: "h"})
	e, out := New(set, Config{}), &pipeline.Output{Now: at(2)}
	e.Process(&in[0], out)
	keys := e.Keys()
	s := pipeline.Signal{Kind: pipeline.SignalQuarantine, Rule: r.ID, Version: r.Version, Digest: r.Digest, Key: r.ID, Time: at(2), Ingest: at(2), Values: []string{"Too slow."}}
	decoded, err := pipeline.DecodeSignal(pipeline.AppendSignal(nil, &s))
	if err != nil {
		t.Fatal(err)
	}
	e.Process(&decoded, out)
	teams := ""
	for _, a := range out.Alerts {
		teams += a.Team + " "
		if a.Rule != r.ID || a.Status != pipeline.StatusFiring || !strings.Contains(a.Title, "quarantined") || a.Summary != "Too slow." || a.Severity < 3 || len(a.Attacks) > 0 {
			t.Errorf("%+v", a)
		}
	}
	if teams != "sec dev " || e.Keys() != keys {
		t.Errorf("told: %s; %d keys, want %d", teams, e.Keys(), keys)
	}
	s.Digest++
	if e.Process(&s, out); len(out.Alerts) != 2 || e.Stats().Foreign != 1 {
		t.Errorf("%d alerts, %d foreign signals; a quarantine of another definition says nothing", len(out.Alerts), e.Stats().Foreign)
	}
}
