package correlate

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// bar is how many times more a series must show for an alert since one was dismissed.
type bar struct {
	times float64 // 0 before the first dismissal
	since int64   // the last dismissal, Unix nanoseconds
}

const (
	// dismissHolds is how long a dismissal holds.
	dismissHolds = 20 * 24 * time.Hour
	// dismissMost is what the bar is raised to at most: a dismissed attack must not blind for weeks.
	dismissMost = 4
)

// height is by how much the bar is raised at a time.
func (b *bar) height(t int64) float64 {
	if b.times > 1 && t < b.since+int64(dismissHolds) {
		return b.times
	}
	return 1
}

// raise makes the bar so many times higher.
func (b *bar) raise(times float64, t int64) {
	b.times, b.since = min(times*b.height(t), dismissMost), t
}

func (b *bar) explain(t int64) []string {
	if b.height(t) == 1 {
		return nil
	}
	return []string{fmt.Sprintf("a dismissed alert raises the bar %.1f times until %s", b.times, formatTime(b.since+int64(dismissHolds)))}
}

func (b *bar) encode(to []byte) []byte {
	return binary.AppendVarint(binary.AppendUvarint(to, math.Float64bits(b.times)), b.since)
}

func (d *decoder) bar() bar { return bar{math.Float64frombits(d.uvarint()), d.varint()} }
