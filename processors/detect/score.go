package detect

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// RunScore is the command "tocsin detect score": it reads a series as CSV
// with the header "timestamp,value" and writes "timestamp,value,anomaly_score",
// one row for each row read, in one pass; the first two columns are repeated
// as they were written. Further columns are ignored.
//
// A timestamp is RFC 3339, the same with a space for the T or without a zone
// (then UTC), or Unix seconds. An empty value is NaN: no reading, score 0.
// An error names the line. Rows before it have been written.
func RunScore(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	w := bufio.NewWriter(out)
	detector := NewAnomaly(AnomalyConfig{})
	n := 0
	for lines.Scan() {
		n++
		row := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		if n == 1 {
			if !bytes.HasPrefix(row, []byte("timestamp,value")) {
				return flushed(w, fmt.Errorf("line 1: header %q, want %q", clipped(row), "timestamp,value"))
			}
			w.WriteString("timestamp,value,anomaly_score\n")
			continue
		}
		if len(row) == 0 {
			continue
		}
		stamp, rest, ok := bytes.Cut(row, []byte{','})
		if !ok {
			return flushed(w, fmt.Errorf("line %d: %q has no value, want timestamp,value", n, clipped(row)))
		}
		value, _, _ := bytes.Cut(rest, []byte{','})
		t, err := parseStamp(string(stamp))
		if err != nil {
			return flushed(w, fmt.Errorf("line %d: timestamp %q, want RFC 3339 or Unix seconds", n, clipped(stamp)))
		}
		v := math.NaN()
		if len(value) > 0 {
			if v, err = strconv.ParseFloat(string(value), 64); err != nil && !math.IsInf(v, 0) {
				return flushed(w, fmt.Errorf("line %d: value %q, want a number", n, clipped(value)))
			}
		}
		w.Write(stamp)
		w.WriteByte(',')
		w.Write(value)
		w.WriteByte(',')
		w.Write(strconv.AppendFloat(w.AvailableBuffer(), detector.Observe(t, v).Score, 'g', -1, 64))
		if err := w.WriteByte('\n'); err != nil {
			return fmt.Errorf("write scores: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return flushed(w, fmt.Errorf("line %d: %w", n+1, err))
	}
	if n == 0 {
		return fmt.Errorf("line 1: empty input, want the header %q", "timestamp,value")
	}
	return flushed(w, nil)
}

// flushed writes what is buffered and returns the first error.
func flushed(w *bufio.Writer, err error) error {
	if ferr := w.Flush(); err == nil && ferr != nil {
		return fmt.Errorf("write scores: %w", ferr)
	}
	return err
}

// clipped returns b short enough for a message.
func clipped(b []byte) []byte {
	return b[:min(len(b), 40)]
}

func parseStamp(s string) (time.Time, error) {
	for _, layout := range []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(math.Abs(seconds) < 1e11) {
		return time.Time{}, fmt.Errorf("timestamp %q", s)
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), nil
}
