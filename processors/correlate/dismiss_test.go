package correlate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// attack plays a database that doubles its growth every two minutes while logins are refused, from second 0 on, and hands
// each signal to f.
func attack(t *testing.T, f func(s pipeline.Signal)) {
	set := load(t, growthRule)
	var events []pipeline.Event
	size := 5e9
	for i := range 300 {
		s := float64(10 * i)
		size += 1e6
		if i >= 120 && i < 210 {
			size += 1e6 * math.Exp2(float64(i-120)/12)
			for range 4 {
				events = append(events, pipeline.Event{Time: at(s), Type: "auth.failed", Host: "db-1"})
			}
		}
		events = append(events, pipeline.Event{Time: at(s), Type: "db.size", Host: "db-1", Value: size})
	}
	for _, s := range signals(t, set, 0, events...) {
		f(s)
	}
}

// TestDismiss: a false positive reaches the detector whose alert it was, and that one only; a rollback undoes it.
func TestDismiss(t *testing.T) {
	e, out, alerts := New(load(t, growthRule), Config{}), &pipeline.Output{Now: t0}, 0
	attack(t, func(s pipeline.Signal) {
		e.Process(&s, out)
		if len(out.Alerts) == 0 || out.Alerts[len(out.Alerts)-1].Status == pipeline.StatusResolved {
			return
		}
		e.Commit()
		before := fmt.Sprint(states(e))
		dismiss := pipeline.Signal{Kind: pipeline.SignalDismiss, Rule: "G", Version: 1, Digest: s.Digest, EventID: pipeline.NewID("another")}
		e.Process(&dismiss, out)
		if fmt.Sprint(states(e)) != before {
			t.Fatal("another alert changed the state")
		}
		encoded, err := pipeline.DecodeSignal(pipeline.AppendSignal(nil, &pipeline.Signal{Kind: pipeline.SignalDismiss, Rule: "G", Version: 1, Digest: s.Digest, EventID: out.Alerts[0].ID, Time: s.Time}))
		if err != nil {
			t.Fatal(err)
		}
		e.Process(&encoded, out)
		if fmt.Sprint(states(e)) == before {
			t.Fatal("the detector learnt nothing")
		}
		e.Rollback()
		if fmt.Sprint(states(e)) != before {
			t.Fatal("a rollback left a trace")
		}
		out.Alerts = nil
		alerts++
	})
	if alerts == 0 {
		t.Fatal("there was no alert to dismiss")
	}
}

// TestForget: a key that is to be forgotten leaves nothing behind, and its open alert is resolved.
func TestForget(t *testing.T) {
	e, out := New(load(t, growthRule), Config{}), &pipeline.Output{Now: t0}
	var last pipeline.Signal
	attack(t, func(s pipeline.Signal) {
		if len(out.Alerts) == 0 {
			e.Process(&s, out)
			last = s
		}
	})
	if got := e.Learned(); len(got) != 1 || got[0] != [2]string{"G", "db-1"} {
		t.Fatalf("learned is %v", got)
	}
	for _, key := range []string{"another", "db-1"} {
		e.Process(&pipeline.Signal{Kind: pipeline.SignalForget, Rule: "G", Version: 1, Digest: last.Digest, Key: key, Time: last.Time}, out)
	}
	if n := len(out.Alerts); n != 2 || out.Alerts[1].Status != pipeline.StatusResolved || e.Keys() != 0 {
		t.Errorf("%d alerts, %d keys", n, e.Keys())
	}
}

// TestDismissedAnomaly: what a person called false does not fire again, until it is forgotten.
func TestDismissedAnomaly(t *testing.T) {
	set := load(t, anomalyRule)
	var events []pipeline.Event
	seconds := 0.0
	for i := range 1000 {
		bytes := uint64(100 + i%7)
		if i == 400 || i == 600 || i == 999 {
			bytes = 5000
		}
		if seconds += 300; i > 900 {
			seconds += 8 * 3600
		}
		events = append(events, pipeline.Event{Time: at(seconds), Type: "flow", Actor: "a", Bytes: bytes})
	}
	fired := func(dismiss bool) (times []int) {
		e, out := New(set, Config{}), &pipeline.Output{Now: t0}
		all := signals(t, set, 0, events...)
		for i := range all {
			e.Process(&all[i], out)
			for _, a := range out.Alerts {
				if a.Status != pipeline.StatusFiring {
					continue
				}
				times = append(times, i)
				if dismiss {
					e.Process(&pipeline.Signal{Kind: pipeline.SignalDismiss, Rule: "Y", Version: 1, Digest: all[i].Digest, EventID: a.ID}, out)
				}
			}
			out.Alerts = nil
		}
		e.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: all[0].Origin, Time: at(seconds + 3600)}, out)
		for range out.Alerts {
			times = append(times, len(all))
		}
		return times
	}
	if got := fired(false); len(got) != 3 {
		t.Fatalf("three jumps fired at %v", got)
	}
	if got := fired(true); len(got) != 2 || got[0] > 402 || got[1] < 999 {
		t.Errorf("with the first dismissed they fired at %v, want the first and, a month later, the last", got)
	}
}

// TestDismissedSpikeAndSilence: what a person called false must be clearly more to fire again.
func TestDismissedSpikeAndSilence(t *testing.T) {
	var burst, beats []pipeline.Event
	for bucket := range 60 {
		n := 2
		switch bucket {
		case 20, 50:
			n = 12
		case 40:
			n = 13 // less than 1.2 times what was dismissed
		}
		for i := range n {
			burst = append(burst, pipeline.Event{Time: at(float64(20*bucket) + float64(i)), Type: "flow", Actor: "a"})
		}
	}
	burst = append(burst, pipeline.Event{Time: at(1200), Type: "flow", Actor: "a"})
	for i := range 15 { // and then much more
		burst = append(burst, pipeline.Event{Time: at(1220 + float64(i)), Type: "flow", Actor: "a"})
	}
	for seconds, i := 0.0, 0; i < 200; i++ {
		switch seconds += 10; i {
		case 60, 100, 140:
			seconds += 10 // twice its habit
		case 180:
			seconds += 60
		}
		beats = append(beats, pipeline.Event{Time: at(seconds), Type: "heartbeat", Actor: "a"})
	}
	quiet := strings.ReplaceAll(silenceRule, "while: {when: ev.Type == \"attack\", count: 2, within: 1m}\n", "") + "dedup: 1m\n"
	for name, c := range map[string]struct {
		rule, id           string
		events             []pipeline.Event
		fired, undisturbed int
	}{
		"spike":   {spikeRule + "dedup: 1m\n", "P", burst, 2, 4},
		"silence": {quiet, "Z", beats, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			set := load(t, c.rule)
			fired := func(dismiss bool) (n int) {
				e, out := New(set, Config{}), &pipeline.Output{Now: t0}
				all := signals(t, set, 0, c.events...)
				all = append(all, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: all[0].Origin, Time: c.events[len(c.events)-1].Time.Add(DefaultLateness)})
				for i := range all {
					e.Process(&all[i], out)
					for _, a := range out.Alerts {
						if a.Status != pipeline.StatusFiring {
							continue
						}
						if n++; dismiss && n == 1 {
							e.Process(&pipeline.Signal{Kind: pipeline.SignalDismiss, Rule: c.id, Version: 1, Digest: all[0].Digest, EventID: a.ID}, out)
							if lines := strings.Join(e.Explain(c.id, "a"), "\n"); !strings.Contains(lines, "a dismissed alert raises the bar") {
								t.Errorf("it says\n%s", lines)
							}
						}
					}
					out.Alerts = nil
				}
				return n
			}
			if got := fired(false); got != c.undisturbed {
				t.Errorf("%d fired, want %d", got, c.undisturbed)
			}
			if got := fired(true); got != c.fired {
				t.Errorf("with the first dismissed %d fired, want %d", got, c.fired)
			}
		})
	}
}
