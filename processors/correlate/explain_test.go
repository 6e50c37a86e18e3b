package correlate

import (
	"slices"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

func TestExplainSaysWhatIsMissing(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule, absenceRule, newValueRule, growthRule)
	e, out := New(set, Config{}), &pipeline.Output{}
	for _, s := range signals(t, set, 0,
		pipeline.Event{Time: at(0), Type: "auth.failed", Actor: "x", Host: "db-1", Bytes: 7},
		pipeline.Event{Time: at(1), Type: "a", Actor: "x"},
		pipeline.Event{Time: at(2), Type: "b", Actor: "x"},
		pipeline.Event{Time: at(3), Type: "deployed", Actor: "x"},
		pipeline.Event{Time: at(4), Type: "db.size", Host: "db-1", Value: 5},
	) {
		e.Process(&s, out)
	}
	for _, c := range []struct {
		rule, key string
		want      []string
	}{
		{"T", "x", []string{"1 entries in the last window of 2m; it fires when failed >= 6 && ips >= 3 || sent > 2000", "n = 1", "failed = 1", "ips = 0", "sent = 7"}},
		{"S", "x", []string{"step a: 1 of 2 within 5m, and 0 that came before their turn", "step b: 0 of 1 within 3m, and 1 that came before their turn", "step c: 0 of 1 within 0s, and 0 that came before their turn"}},
		{"A", "x", []string{"waits for what is expected until 2026-11-23T10:00:23Z"}},
		{"G", "db-1", []string{"1 events of evidence are remembered; an attack is 10 within minutes above the usual", "db-1: 5 bytes at 2026-11-23T10:00:04Z",
			"  stands at ok, score 0.00", "  activity is measured in nothing yet, learnt from 0 ticks of five minutes or more; a day of them is needed before it judges"}},
		{"T", "nobody", nil},
		{"none", "x", nil},
	} {
		if got := e.Explain(c.rule, c.key); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: got %q, want %q", c.rule, c.key, got, c.want)
		}
	}
}
