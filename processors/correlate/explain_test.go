package correlate

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// What learns from the past says in the alert, and to whoever asks, what it expected and what came.
func TestDetectorsExplain(t *testing.T) {
	set := load(t, spikeRule+"alert: {title: \"{count} {usual} {limit}\", summary: \"{explanation}\"}",
		silenceRule+"alert: {title: \"{quiet_s} {limit_s}\", summary: \"{explanation}\"}",
		anomalyRule+"score: 0.2\nalert: {title: \"{value} {expected} {score}\", summary: \"{explanation}\"}")
	var events []pipeline.Event
	for i := range 150 {
		events = append(events, pipeline.Event{Time: at(float64(i)), Type: "heartbeat", Actor: "x"})
		if i%10 == 0 {
			events = append(events, pipeline.Event{Time: at(float64(i)), Type: "flow", Actor: "x", Bytes: 100})
		}
	}
	for i := range 30 {
		events = append(events, pipeline.Event{Time: at(150 + float64(i)/10), Type: "flow", Actor: "x", Bytes: 5000},
			pipeline.Event{Time: at(150 + float64(i)/10), Type: "attack", Actor: "x"})
	}
	e, out := New(set, Config{Lateness: 5 * time.Second}), &pipeline.Output{Now: t0}
	in := signals(t, set, 0, events...)
	for i := range in {
		e.Process(&in[i], out)
	}
	e.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in"}, Time: at(190)}, out)
	said := map[string]string{}
	for _, a := range out.Alerts {
		if a.Status == pipeline.StatusFiring {
			said[a.Rule] = a.Title + ": " + a.Summary
		}
	}
	for id, want := range map[string][]string{
		"P": {"6 2 5: ", "in the 20s from 2026-11-23T10:02:20Z; the median of the 7 before is 2, more than 5 is a spike"},
		"Z": {" 2: last seen 2026-11-23T10:02:29Z", "at most 2s is ordinary"},
		"Y": {"5000 100 ", "expected 100, got 5000; value beyond its range"},
	} {
		for _, w := range want {
			if !strings.Contains(said[id], w) {
				t.Errorf("%s says %q, want %q", id, said[id], w)
			}
		}
		lines := strings.Join(e.Explain(id, "x"), "\n")
		if !strings.Contains(lines, "2026-11-23T10:02:") {
			t.Errorf("%s is explained as %s", id, lines)
		}
	}
}
