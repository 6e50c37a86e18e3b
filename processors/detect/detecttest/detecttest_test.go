package detecttest_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

// highest is the simplest detector that keeps the contract: a row scores 1 if
// it is higher than every row before.
type highest struct{ value float64 }

func newHighest() *highest { return &highest{math.Inf(-1)} }

func (h *highest) Observe(_ time.Time, v float64) float64 {
	if !(v > h.value) {
		return 0
	}
	h.value = v
	return 1
}

func (h *highest) AppendBinary(b []byte) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(append(b, 1), math.Float64bits(h.value)), nil
}

func (h *highest) UnmarshalBinary(data []byte) error {
	if len(data) != 9 || data[0] != 1 {
		return errors.New("not a state of highest")
	}
	h.value = math.Float64frombits(binary.LittleEndian.Uint64(data[1:]))
	return nil
}

func TestRun(t *testing.T) {
	detecttest.Run(t, detecttest.Config{
		New:           func() detecttest.Subject { return newHighest() },
		MaxStateBytes: 9,
		MaxScore:      1,
	})
}

func TestStreamsAreTheSameOnEveryCall(t *testing.T) {
	a, b := detecttest.Streams(), detecttest.Streams()
	for i := range a {
		for j, s := range a[i].Samples {
			other := b[i].Samples[j]
			if !s.Time.Equal(other.Time) || math.Float64bits(s.Value) != math.Float64bits(other.Value) {
				t.Fatalf("%s: sample %d is %v, then %v", a[i].Name, j, s, other)
			}
		}
	}
}
