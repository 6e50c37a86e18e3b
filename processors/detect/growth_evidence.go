package detect

import (
	"math"
	"time"
)

// minEvidence is the least number of attack events above the usual that makes growth an attack
// (design, C02: ten events in the same window).
const minEvidence = 10

const (
	evidenceWindow = 5 * time.Minute // over which attack events are counted
	evidenceUsual  = 24 * time.Hour  // over which their usual rate is learnt
)

// evidenceState counts attack events with two decaying sums: of the last minutes, and of the last
// day, which says how many of them are usual.
type evidenceState struct {
	Time    int64   // the sums are true for this time, Unix nanoseconds; 0: nothing yet
	Counter float64 // last value of the counter
	Seen    bool    // Counter is set
	Recent  float64 // events, decaying with evidenceWindow
	Usual   float64 // events, decaying with evidenceUsual
}

// counter takes the value of a counter that goes back to 0 at a restart; NaN is no reading.
func (e *evidenceState) counter(now int64, value float64) {
	if math.IsNaN(value) {
		return
	}
	n := value - e.Counter
	if n < 0 {
		n = value
	}
	if e.Seen {
		e.add(now, n)
	}
	e.Counter, e.Seen = value, true
}

// add counts n events of time t. Late events count as if they came now.
func (e *evidenceState) add(t int64, n float64) {
	e.advance(t)
	e.Recent += n
	e.Usual += n
}

func (e *evidenceState) advance(t int64) {
	if e.Time != 0 && t > e.Time {
		dt := float64(t - e.Time)
		e.Recent *= math.Exp(-dt / float64(evidenceWindow))
		e.Usual *= math.Exp(-dt / float64(evidenceUsual))
	}
	e.Time = max(e.Time, t)
}

// excess is the number of recent events above three times the usual.
func (e *evidenceState) excess(now int64) float64 {
	e.advance(now)
	before := math.Max(e.Usual-e.Recent, 0) * float64(evidenceWindow) / float64(evidenceUsual)
	return math.Max(e.Recent-3*before, 0)
}
