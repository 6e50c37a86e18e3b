package clickhouse

import (
	"slices"
	"time"
)

// A row's time is believed from maxLate before to maxEarly after the time that its record reached Kafka.
const (
	maxLate  = 30 * 24 * time.Hour
	maxEarly = time.Hour
)

// maxDays is how many days one block may span. Each is a partition of the table and gives a part of its own; at 100
// ClickHouse refuses a block by default.
const maxDays = 90

// clampTime returns the time to store for something that happened at t by its source's clock and reached Kafka at
// ingest: t where that is credible, ingest where it is not; then ok is false.
func clampTime(t, ingest time.Time) (_ time.Time, ok bool) {
	if t.Before(ingest.Add(-maxLate)) || t.After(ingest.Add(maxEarly)) {
		return ingest, false
	}
	return t, true
}

// days are those that the rows of the open block fall on.
type days struct {
	seen  []int64 // days since 1970; the newest row's last
	first time.Time
}

// clamp is clampTime for a row of this block. Kafka's own time is the producer's to choose, so even credible rows may be
// of any number of days; those that would be one too many are stored at the time of the block's first row. A chunk that is
// replayed has the same rows in the same order, and so the same times.
func (d *days) clamp(t, ingest time.Time) (_ time.Time, ok bool) {
	t, ok = clampTime(t, ingest)
	day := dayOf(t)
	if n := len(d.seen); n > 0 && d.seen[n-1] == day {
		return t, ok
	}
	if slices.Contains(d.seen, day) {
		return t, ok
	}
	if len(d.seen) == maxDays {
		return d.first, false
	}
	if len(d.seen) == 0 {
		d.first = t
	}
	d.seen = append(d.seen, day)
	return t, ok
}

// dayOf returns the day that a row of time t is stored under, since 1970.
func dayOf(t time.Time) int64 {
	return min(max(t.UnixMilli(), 0), lastMilli) / (24 * time.Hour).Milliseconds()
}
