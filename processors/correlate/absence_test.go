package correlate

import (
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// More triggers in one window than are kept: the key comes to its end all the same.
func TestAbsenceWithManyTriggersFires(t *testing.T) {
	set := load(t, absenceRule)
	var events []pipeline.Event
	for i := range 40 * maxPending { // the rule's 20 s hold four times what is kept
		events = append(events, pipeline.Event{Time: at(float64(i) / (0.2 * maxPending)), Type: "deployed", Actor: "web"})
	}
	in := signals(t, set, 0, events...)
	// The watermark follows the events.
	e, out := New(set, Config{}), &pipeline.Output{Now: t0}
	for i := range in {
		e.Process(&in[i], out)
		if i%maxPending == 0 {
			w := pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in"}, Time: events[i].Time}
			e.Process(&w, out)
		}
	}
	if len(out.Alerts) == 0 {
		t.Error("no alert, though nothing was approved for minutes")
	}
}
