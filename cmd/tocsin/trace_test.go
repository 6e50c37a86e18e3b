package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes traces as OTLP over HTTP and counts the spans by name.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string]int
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		data, err := io.ReadAll(body)
		var sent tracecollector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(data, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, from := range sent.ResourceSpans {
			about := map[string]string{}
			for _, a := range from.Resource.Attributes {
				about[a.Key] = a.Value.GetStringValue()
			}
			if about["service.name"] != "tocsin" || about["service.instance.id"] != "a" || about["team"] != "mon" {
				t.Errorf("traces are of %v", about)
			}
			for _, scope := range from.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans[s.Name]++
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// env makes a process send its traces here.
func (c *collector) env() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_RESOURCE_ATTRIBUTES=team=mon"}
}

// check wants spans of every step that a running pipeline takes.
func (c *collector) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range []string{
		"chunk", "batch", "queue", "parse", "enrich", "rule", "append", "publish", "plan", "insert", "acknowledge", "commit", "detect", "desk", "work",
	} {
		if c.spans[name] == 0 {
			t.Errorf("no span %s among %v", name, c.spans)
		}
	}
}
