package detect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// GrowthSample is one reading of one database or table. A signal the source does not have is NaN.
// The four counters never fall, but for a restart, which puts them back to 0.
type GrowthSample struct {
	Time         time.Time
	Size         float64 // bytes on disk; 0 or less is no reading (a restart may give one)
	Rows         float64 // live rows
	Commits      float64 // transactions, counter
	FailedLogins float64 // refused authentications, counter
	FailedTests  float64 // failed health or integration tests against this database, counter
	NetIn        float64 // bytes received, counter
}

// GrowthConfig says what is known of a series beforehand. The zero value is valid: nothing is known.
type GrowthConfig struct {
	Capacity float64 // bytes at which the database is full; 0: unknown, then no forecast is given
	Extent   float64 // bytes the files grow by at a time; 0: unknown. Growth below two extents is never judged
}

// GrowthTier orders what a verdict asks of its reader.
type GrowthTier uint8

const (
	GrowthOK    GrowthTier = iota // nothing to see
	GrowthWatch                   // a trend worth a line on a dashboard, nobody is called
	GrowthWarn                    // an attack is likely: early growth with evidence, or growth no usual cause explains
	GrowthCrit                    // sustained growth with evidence of an attack
)

func (t GrowthTier) String() string {
	return [...]string{"ok", "watch", "warn", "crit"}[min(t, GrowthCrit)]
}

// GrowthVerdict is what one sample told. It holds no reference to the detector's state.
type GrowthVerdict struct {
	Time           time.Time
	Tier           GrowthTier
	Score          float64       // 0..1, rises with the evidence; 0.5 is where the warn tier begins
	RatePerMin     float64       // bytes per minute now
	Doubling       time.Duration // of the increments; 0: they are not growing exponentially
	TimeToFull     time.Duration // forecast; 0: unknown capacity, or nothing worth a forecast
	TimeToFullLow  time.Duration // about one in ten is sooner
	TimeToFullHigh time.Duration // about one in ten is later
	AttackEvidence float64       // attack events of the last minutes above the series' usual

	fit fit
}

// Explain says in one line why the verdict has its tier.
func (v GrowthVerdict) Explain() string {
	if v.Tier == GrowthOK {
		return "growth as usual"
	}
	s := fmt.Sprintf("%s: %.3g MB/min", v.Tier, v.RatePerMin/1e6)
	if v.Doubling > 0 {
		s += fmt.Sprintf(", increments double every %s (R2 %.2f over %s, size +%.2f %%)",
			v.Doubling.Round(time.Second), v.fit.r2, v.fit.span, 100*v.fit.gain)
	}
	if v.AttackEvidence > 0 {
		s += fmt.Sprintf(", %.0f attack events", v.AttackEvidence)
	}
	if v.TimeToFull > 0 {
		s += fmt.Sprintf(", full in %s (%s to %s)", v.TimeToFull.Round(time.Second),
			v.TimeToFullLow.Round(time.Second), v.TimeToFullHigh.Round(time.Second))
	}
	return s
}

// Growth detects the exponential growth of one database or table. Its state is constant (see
// growthState); it is not safe for concurrent use. The same samples give the same verdicts.
type Growth struct {
	cfg GrowthConfig
	st  growthState
}

// growthState is everything Growth remembers, of fixed size so that a snapshot is its plain bytes
// and cannot forget a field.
type growthState struct {
	Time     int64 // of the newest sample accepted, Unix nanoseconds; 0: none yet
	Size     float64
	SizeTime int64
	Older    uint8 // samples in a row that were older than Time
	Fast     fastState
	Logins   evidenceState
	Profile  profileState
	Excess   excessState
}

// growthStateVersion is the first byte of a snapshot. Raise it when growthState changes.
const growthStateVersion = 1

// NewGrowth returns a detector that has seen nothing.
func NewGrowth(cfg GrowthConfig) *Growth { return &Growth{cfg: cfg} }

// Observe takes the next sample and says what is known now. A sample that is not newer than the
// last is ignored, unless three in a row are older: then the clock was set back and the detector
// follows it.
func (g *Growth) Observe(s GrowthSample) GrowthVerdict {
	st, now := &g.st, s.Time.UnixNano()
	if st.Time != 0 && now <= st.Time {
		if st.Older++; now == st.Time || st.Older < 3 {
			return GrowthVerdict{Time: s.Time}
		}
		st.Fast = fastState{}
		st.SizeTime = 0
		st.Logins.Time = 0
	}
	st.Time, st.Older = now, 0

	st.Logins.counter(now, s.FailedLogins)
	v := GrowthVerdict{Time: s.Time, AttackEvidence: st.Logins.excess(now)}
	if !(s.Size > 0) || math.IsInf(s.Size, 1) {
		return v
	}
	tier, f := st.Fast.observe(st.SizeTime, st.Size, now, s.Size)
	st.SizeTime, st.Size = now, s.Size
	attacked := v.AttackEvidence >= minEvidence
	switch {
	case tier >= fastStandard && attacked:
		v.Tier, v.Score = GrowthCrit, 1
	case tier >= fastStandard:
		v.Tier, v.Score = GrowthWatch, 0.4
	case tier == fastEarly && attacked:
		v.Tier, v.Score = GrowthWarn, 0.7
	case tier == fastEarly:
		v.Score = 0.2
	}
	if t, ok := st.Profile.tick(now, growthCounts{s.Size, s.Rows, s.Commits, s.FailedLogins, s.FailedTests, s.NetIn}, g.cfg.Extent); ok {
		st.Excess.observe(t, st.Profile.Ticks)
		if clip := st.Excess.clip(now); clip > 0 {
			st.Profile.learn(t, clip)
		}
	}
	if x := st.Excess.Strength; x > 0 {
		v.Score = math.Max(v.Score, x/(1+x))
		if st.Excess.Since != 0 {
			v.Tier = max(v.Tier, GrowthWarn)
			v.Score = math.Max(v.Score, 0.5)
		}
	}
	v.RatePerMin, v.fit = f.rate, f
	if v.Score > 0 {
		v.Doubling = minutes(math.Ln2 / f.lambda)
		if free := g.cfg.Capacity - s.Size; g.cfg.Capacity > 0 {
			v.TimeToFull = timeToFull(free, f.rate, math.Ln2/f.lambda)
			v.TimeToFullLow = timeToFull(free, f.rate, math.Ln2/(f.lambda+1.3*f.se))
			v.TimeToFullHigh = timeToFull(free, f.rate, math.Ln2/math.Max(f.lambda-1.3*f.se, 1e-9))
		}
	}
	return v
}

// Evidence adds n attack events of time t that other sources saw on the same database or its host
// (refused logins, WAF or IDS hits, bursts of 4xx), for series whose samples do not carry them.
func (g *Growth) Evidence(t time.Time, n float64) {
	if n > 0 && !math.IsInf(n, 1) {
		g.st.Logins.add(t.UnixNano(), n)
	}
}

// timeToFull forecasts from the increments, never from the size (design §4.3): increments of rate
// bytes a minute that double every doubling minutes have filled free bytes after the returned time.
func timeToFull(free, rate, doubling float64) time.Duration {
	if free <= 0 || !(rate > 0) {
		return 0
	}
	return minutes(doubling * math.Log2(1+free*math.Ln2/(rate*doubling)))
}

// minutes converts, and holds what a Duration cannot at a hundred years.
func minutes(m float64) time.Duration {
	const century = 100 * 365 * 24 * 60
	return time.Duration(math.Min(m, century) * float64(time.Minute))
}

var errGrowthState = errors.New("growth state: not a snapshot of this version")

// AppendBinary appends a snapshot. The configuration is not part of it.
func (g *Growth) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(append(b, growthStateVersion), binary.LittleEndian, &g.st)
}

// MarshalBinary returns a snapshot.
func (g *Growth) MarshalBinary() ([]byte, error) { return g.AppendBinary(nil) }

// UnmarshalBinary restores a snapshot; the detector goes on as if it had never stopped.
func (g *Growth) UnmarshalBinary(b []byte) error {
	if len(b) != 1+binary.Size(&g.st) || b[0] != growthStateVersion {
		return errGrowthState
	}
	_, err := binary.Decode(b[1:], binary.LittleEndian, &g.st)
	return err
}
