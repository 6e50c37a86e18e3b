// Package top shows what tocsin processes do, from their metrics: rates, lag, the slowest rules, dead letters, and where the
// time goes.
package top

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Sample is the metrics of one process, or of several added up, at one moment.
type Sample struct {
	At     time.Time
	values map[string]map[string]float64 // metric, then labels as a=b,c=d
}

// maxBytes bounds an answer: a mistyped address must not fill the memory.
const maxBytes = 64 << 20

// Fetch asks each address for its metrics and adds them up. An address that does not answer is an error, unless others do.
func Fetch(ctx context.Context, addresses []string) (*Sample, []error) {
	s := &Sample{At: time.Now(), values: map[string]map[string]float64{}}
	var errs []error
	for _, a := range addresses {
		if err := s.add(ctx, a); err != nil {
			errs = append(errs, err)
		}
	}
	return s, errs
}

// ask requests a path of an address, which may be a URL, also that of its metrics.
func ask(ctx context.Context, address, path string) (status int, body []byte, err error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	address = strings.TrimSuffix(strings.TrimSuffix(address, "/"), "/metrics") + path
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBytes))
	return resp.StatusCode, body, err
}

// Wrong asks each address whether the process does its work, and returns what it says against it, a line each.
func Wrong(ctx context.Context, addresses []string) (lines []string) {
	for _, a := range addresses {
		status, body, err := ask(ctx, a, "/readyz")
		if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable { // it has none, or Fetch says so
			continue
		}
		_, reasons, _ := strings.Cut(string(body), "\n") // behind "ready" or "not ready"
		for reason := range strings.Lines(reasons) {
			lines = append(lines, a+": "+strings.TrimSuffix(reason, "\n"))
		}
	}
	return lines
}

func (s *Sample) add(ctx context.Context, address string) error {
	status, body, err := ask(ctx, address, "/metrics")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s answers %d %s", address, status, http.StatusText(status))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	for name, f := range families {
		for _, m := range f.Metric {
			s.note(name, m)
		}
	}
	return nil
}

func (s *Sample) note(name string, m *dto.Metric) {
	var labels []string
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	slices.Sort(labels)
	add := func(name string, v float64) {
		if s.values[name] == nil {
			s.values[name] = map[string]float64{}
		}
		s.values[name][strings.Join(labels, ",")] += v
	}
	switch {
	case m.Counter != nil:
		add(name, m.Counter.GetValue())
	case m.Gauge != nil:
		add(name, m.Gauge.GetValue())
	case m.Histogram != nil:
		add(name+"_sum", m.Histogram.GetSampleSum())
		add(name+"_count", float64(m.Histogram.GetSampleCount()))
	}
}

// by adds a metric up by one label; "" adds all of it up.
func (s *Sample) by(name, label string) map[string]float64 {
	out := map[string]float64{}
	for labels, v := range s.values[name] {
		key := ""
		for l := range strings.SplitSeq(labels, ",") {
			if value, ok := strings.CutPrefix(l, label+"="); ok && label != "" {
				key = value
			}
		}
		out[key] += v
	}
	return out
}

// View shows what happened between two samples.
type View struct {
	before, now *Sample
	seconds     float64
}

// Between returns the view of the time from one sample to the next.
func Between(before, now *Sample) *View {
	return &View{before, now, max(now.At.Sub(before.At).Seconds(), 1e-3)}
}

// rate is how much a counter grew in a second, by label. One that fell began anew.
func (v *View) rate(name, label string) map[string]float64 {
	out, before := v.now.by(name, label), v.before.by(name, label)
	for key, value := range out {
		if d := value - before[key]; d >= 0 {
			value = d
		}
		out[key] = value / v.seconds
	}
	return out
}

// row is a line of a table, by its name and what it is ordered by.
type row struct {
	name string
	by   float64
}

func largest(m map[string]float64, n int) []row {
	rows := make([]row, 0, len(m))
	for name, v := range m {
		if v > 0 {
			rows = append(rows, row{name, v})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(a.name, b.name)) })
	return rows[:min(n, len(rows))]
}

// Write writes the view: a few tables of at most lines rows each.
func (v *View) Write(w io.Writer, lines int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	sum := func(name string) float64 { return v.rate(name, "")[""] }
	fmt.Fprintf(t, "records/s\tMB/s\tevents/s\trows/s\tsignals/s\tdead letters/s\tretries/s\tcores\t\n")
	fmt.Fprintf(t, "%s\t%.1f\t%s\t%s\t%s\t%s\t%s\t%.2f\t\n\n", number(sum("tocsin_ingest_records_total")), sum("tocsin_ingest_record_bytes_total")/1e6,
		number(sum("tocsin_ingest_events_total")), number(sum("tocsin_ingest_stored_rows_total")), number(sum("tocsin_ingest_signals_total")),
		number(sum("tocsin_ingest_failures_total")), number(sum("tocsin_ingest_retries_total")), sum("process_cpu_seconds_total"))
	lag, records := v.now.by("tocsin_ingest_lag_offsets", "topic"), v.rate("tocsin_ingest_records_total", "topic")
	topics := map[string]float64{}
	for topic, behind := range lag { // the stuck one has no records
		topics[topic] = records[topic] + behind + 1e-9
	}
	fmt.Fprintf(t, "TOPIC\tlag\trecords/s\tcatches up in\t\n")
	for _, r := range largest(topics, lines) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", r.name, number(lag[r.name]), number(records[r.name]), v.catchesUp(r.name, lag[r.name]))
	}
	fmt.Fprintf(t, "\nWHERE THE TIME GOES\tseconds a second\t\n")
	steps := v.rate("tocsin_ingest_step_seconds_total", "step")
	for _, r := range largest(steps, len(steps)) {
		fmt.Fprintf(t, "%s\t%.3f\t\n", r.name, r.by)
	}
	seconds, events, matched := v.rate("tocsin_rule_seconds_total", "rule"), v.rate("tocsin_rule_candidates_total", "rule"), v.rate("tocsin_rule_matched_total", "rule")
	fmt.Fprintf(t, "\nSLOWEST RULE\tms a second\tcandidates/s\tmatches/s\t\n")
	for _, r := range largest(seconds, lines) {
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%s\t\n", r.name, 1e3*r.by, number(events[r.name]), number(matched[r.name]))
	}
	if failures := largest(v.now.by("tocsin_ingest_failures_total", "stage"), lines); len(failures) > 0 {
		now := v.rate("tocsin_ingest_failures_total", "stage")
		fmt.Fprintf(t, "\nDEAD LETTERS OF\tsince the start\tnow/s\t\n")
		for _, r := range failures {
			fmt.Fprintf(t, "%s\t%s\t%s\t\n", r.name, number(r.by), number(now[r.name]))
		}
	}
	_ = t.Flush() // who does not read any more needs no more lines
}

// catchesUp says when a topic's lag will be gone at the present rate.
func (v *View) catchesUp(topic string, lag float64) string {
	before := v.before.by("tocsin_ingest_lag_offsets", "topic")[topic]
	switch falls := (before - lag) / v.seconds; {
	case lag == 0:
		return "-"
	case falls <= 0:
		return "never at this rate"
	default:
		return time.Duration(math.Ceil(lag/falls) * float64(time.Second)).String()
	}
}

// number writes a number so that it is read at a glance.
func number(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.1fG", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1fk", v/1e3)
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.1f", v)
	}
}
