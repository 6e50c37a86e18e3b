package detect

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// SilenceConfig configures a [Silence]. The zero value takes the defaults.
type SilenceConfig struct {
	// Factor times the p95 gap is the longest quiet that is still ordinary.
	// Above 1; default 3. More waits longer and is wrong less often.
	Factor float64
	// Min is the shortest quiet ever called silence, whatever the habit: it
	// protects bursty sources, whose p95 gap is tiny. Default 1 minute.
	Min time.Duration
	// Warmup is how many gaps must be known before anything is called
	// silence. Default 20, the least that has a p95.
	Warmup int
}

func (c SilenceConfig) withDefaults() SilenceConfig {
	if !(c.Factor > 1) {
		c.Factor = 3
	}
	if c.Min <= 0 {
		c.Min = time.Minute
	}
	if c.Warmup <= 0 {
		c.Warmup = 20
	}
	return c
}

// Silence watches one source or host and says when it has been quiet for
// longer than its own habit allows: more than Factor times the 95th percentile
// of the gaps between its events, and more than Min.
//
// Time comes from events and from the stream's watermark, never from the wall
// clock: a stream that is late or replayed gives the same verdicts. The p95 is
// never understated (it is the upper edge of its histogram bucket, at most
// 12.5 % wide), so a verdict is never early.
//
// State: [silenceStateBytes] bytes. Not safe for concurrent use.
type Silence struct {
	cfg     SilenceConfig
	stretch float64 // of Stretch; 0 before its first call
	silenceState
}

// Gaps are counted in buckets of milliseconds: eight linear buckets an
// octave, as in HdrHistogram. 264 of them reach past 50 days.
const (
	silenceBuckets = 264
	// silenceForget is the number of gaps at which every count is halved, so
	// that a habit given up weighs half as much after so many gaps.
	silenceForget     = 2000
	silenceVersion    = 1
	silenceStateBytes = 1 + 1 + 8 + 8 + 2*silenceBuckets
)

type silenceState struct {
	seen  bool
	fired bool
	// last is the newest event's time in Unix milliseconds.
	last int64
	// limit is the longest ordinary quiet in milliseconds, kept from the last
	// event on; 0 while warming up.
	limit  int64
	counts [silenceBuckets]uint16
}

// SilenceVerdict is what [Silence.Check] says.
type SilenceVerdict struct {
	// Silent says that the quiet exceeds Limit.
	Silent bool
	// Fired is true for the first Silent verdict of each silence only.
	Fired bool
	// LastSeen is the newest event's time; zero if there was none.
	LastSeen time.Time
	// Quiet is how long before the watermark that was; never negative.
	Quiet time.Duration
	// Limit is the longest ordinary quiet; 0 while warming up.
	Limit time.Duration
}

// Explain says in one line what was seen and what was expected.
func (v SilenceVerdict) Explain() string {
	switch {
	case v.LastSeen.IsZero():
		return "never seen"
	case v.Limit == 0:
		return fmt.Sprintf("last seen %s, %s ago; its habit is not known yet", v.LastSeen.UTC().Format(time.RFC3339), v.Quiet)
	}
	return fmt.Sprintf("last seen %s, %s ago; at most %s is ordinary", v.LastSeen.UTC().Format(time.RFC3339), v.Quiet, v.Limit)
}

// NewSilence returns a detector that has seen nothing.
func NewSilence(cfg SilenceConfig) *Silence {
	return &Silence{cfg: cfg.withDefaults()}
}

// Observe takes the time of one event and ends a silence. A repeated time is
// no gap; an older one is a late event and changes nothing.
func (s *Silence) Observe(t time.Time) {
	ms := t.UnixMilli()
	if !s.seen {
		s.seen, s.last = true, ms
		return
	}
	if ms <= s.last {
		return
	}
	gap := uint64(ms) - uint64(s.last)
	s.last, s.fired = ms, false
	s.counts[silenceBucket(gap)]++
	s.limit = s.longestOrdinary()
}

// longestOrdinary returns the limit in milliseconds, and halves the counts
// once there are silenceForget of them.
func (s *Silence) longestOrdinary() int64 {
	total := 0
	for _, n := range s.counts {
		total += int(n)
	}
	if total < s.cfg.Warmup {
		return 0
	}
	longer := total / 20 // gaps that may be longer than the p95
	i := silenceBuckets - 1
	for ; int(s.counts[i]) <= longer; i-- {
		longer -= int(s.counts[i])
	}
	if total >= silenceForget {
		for i := range s.counts {
			s.counts[i] = (s.counts[i] + 1) / 2
		}
	}
	limit := s.cfg.Factor * float64(silenceBucketEdge(i))
	return max(int64(min(limit, 1<<62)), s.cfg.Min.Milliseconds())
}

// Check says whether the source is silent at a watermark: the time up to which
// the stream is known to be complete. A watermark that goes back is harmless.
func (s *Silence) Check(watermark time.Time) SilenceVerdict {
	if !s.seen {
		return SilenceVerdict{}
	}
	v := SilenceVerdict{
		LastSeen: time.UnixMilli(s.last).UTC(),
		Limit:    time.Duration(min(s.stretched(), int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond,
	}
	v.Quiet = max(watermark.Sub(v.LastSeen), 0)
	v.Silent = s.limit > 0 && v.Quiet > v.Limit
	v.Fired = v.Silent && !s.fired
	s.fired = s.fired || v.Silent
	return v
}

// Due returns the first watermark at which Check will fire if nothing comes
// before. There is none while warming up, and after it has fired.
func (s *Silence) Due() (t time.Time, ok bool) {
	if !s.seen || s.limit == 0 || s.fired {
		return time.Time{}, false
	}
	return time.UnixMilli(s.last + min(s.stretched(), 1<<53) + 1).UTC(), true
}

// Stretch makes the longest ordinary quiet so many times longer, at least 1, until it is called again: what a person called
// no silence is not to be told again. It is no part of the state.
func (s *Silence) Stretch(times float64) { s.stretch = times }

// stretched is the limit in milliseconds, with the stretch.
func (s *Silence) stretched() int64 { return int64(float64(s.limit) * max(s.stretch, 1)) }

// silenceBucket returns the bucket of a gap in milliseconds.
func silenceBucket(ms uint64) int {
	if ms < 8 {
		return int(ms)
	}
	octave := bits.Len64(ms) - 4 // 0 for 8..15
	return min(8*(octave+1)+int(ms>>octave)-8, silenceBuckets-1)
}

// silenceBucketEdge returns the first gap in milliseconds beyond a bucket.
func silenceBucketEdge(i int) uint64 {
	if i++; i < 8 {
		return uint64(i)
	}
	return uint64(8+i%8) << (i/8 - 1)
}

// AppendBinary appends the state to b; it implements
// [encoding.BinaryAppender]. The error is always nil.
func (s *Silence) AppendBinary(b []byte) ([]byte, error) {
	flags := byte(0)
	if s.seen {
		flags |= 1
	}
	if s.fired {
		flags |= 2
	}
	b = append(b, silenceVersion, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.last))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.limit))
	for _, n := range s.counts {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b, nil
}

// UnmarshalBinary replaces the state by one that AppendBinary wrote; it
// implements [encoding.BinaryUnmarshaler]. On an error nothing changes.
func (s *Silence) UnmarshalBinary(data []byte) error {
	if len(data) != silenceStateBytes || data[0] != silenceVersion {
		return fmt.Errorf("restore silence detector: %d bytes are not a state of version %d", len(data), silenceVersion)
	}
	s.seen, s.fired = data[1]&1 != 0, data[1]&2 != 0
	s.last = int64(binary.LittleEndian.Uint64(data[2:]))
	s.limit = int64(binary.LittleEndian.Uint64(data[10:]))
	for i := range s.counts {
		s.counts[i] = binary.LittleEndian.Uint16(data[18+2*i:])
	}
	return nil
}
