package pipeline_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

// TestWorkerTraces: a trace is a chunk with its batches and steps; the metrics know the steps too, with traces and without.
func TestWorkerTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		reg := prometheus.NewRegistry()
		w, sink := newWorker(pipelinetest.NewWarehouse(), pipelinetest.NewOffsets(), pipeline.Limits{Rows: 1000, Bytes: 1 << 20, Interval: time.Second})
		w.Metrics = pipeline.NewMetrics(reg)
		w.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
		down := time.Now().Add(10 * time.Second)
		sink.Fail = func(bool) error {
			if time.Now().Before(down) {
				return errors.New("connection refused")
			}
			return nil
		}
		first, second := batch(7, 8), batch(9)
		first.Polled, second.Polled = time.Now(), time.Now()
		in := make(chan *pipeline.Batch, 3)
		in <- first
		in <- second
		time.Sleep(3 * time.Second) // they wait
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), in, 7, nil) }()
		time.Sleep(30 * time.Second)
		in <- batch(9) // this one is refused: its offset was there before
		if err := <-done; err == nil {
			t.Error("the worker took an offset twice")
		}

		spans := recorder.Ended()
		names := map[string]string{} // of spans, by their ids
		for _, s := range spans {
			names[s.SpanContext().SpanID().String()] = s.Name()
		}
		got, took := map[string]int{}, map[string]time.Duration{}
		for _, s := range spans {
			got[names[s.Parent().SpanID().String()]+"/"+s.Name()]++
			took[s.Name()] = s.EndTime().Sub(s.StartTime())
			if s.SpanContext().TraceID() != spans[0].SpanContext().TraceID() {
				t.Errorf("%s is in another trace", s.Name())
			}
			if s.Status().Code == codes.Error {
				t.Errorf("%s is an error", s.Name())
			}
		}
		want := map[string]int{
			"/chunk": 1, "chunk/batch": 2, "batch/queue": 2, "batch/pipeline_test": 2, "batch/append": 2, "batch/publish": 2,
			"chunk/plan": 1, "chunk/insert": 1, "chunk/acknowledge": 1, "chunk/commit": 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		if took["queue"] != 3*time.Second || took["insert"] < 5*time.Second || took["chunk"] < took["queue"]+took["insert"] {
			t.Errorf("they took %v", took)
		}
		seconds := map[string]float64{}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "tocsin_ingest_step_seconds_total" {
				for _, m := range f.Metric {
					seconds[m.Label[0].GetValue()] = m.Counter.GetValue()
				}
			}
		}
		steps := []string{"acknowledge", "append", "commit", "insert", "pipeline_test", "plan", "publish"}
		if diff := cmp.Diff(steps, slices.Sorted(maps.Keys(seconds))); diff != "" || seconds["insert"] != took["insert"].Seconds() {
			t.Errorf("%v\n%s", seconds, diff)
		}
	})
}

// TestWorkerTracesTheFailure: the step that ends a worker is an error in its trace, and so is the chunk.
func TestWorkerTracesTheFailure(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	w, sink := newWorker(pipelinetest.NewWarehouse(), pipelinetest.NewOffsets(), pipeline.Limits{Rows: 1, Bytes: 1 << 20, Interval: time.Hour})
	w.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	sink.Fail = func(bool) error { return &pipeline.Permanent{Err: errors.New("no right to insert")} }
	in := make(chan *pipeline.Batch, 1)
	in <- batch(0)
	if err := w.Run(t.Context(), in, 0, nil); err == nil {
		t.Fatal("it went on")
	}
	var failed []string
	for _, s := range recorder.Ended() {
		if s.Status().Code == codes.Error {
			failed = append(failed, s.Name())
		}
	}
	if !slices.Equal(failed, []string{"insert", "chunk"}) {
		t.Errorf("errors are %v", failed)
	}
}
