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
	Extent   float64 // bytes the files grow by at a time; 0: 8192. Two of them a tick count for nothing where rows are unknown
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
	// Sure tells of an alarm that needs no attack events beside it: bytes received, rows and commits are known, and what
	// clients do leaves no usual cause. Where less is known, such alarms are nine times as often false (bench/growth).
	Sure bool

	cause growthCause
	fit   fit // of causeShape
}

// Explain says in one line why the verdict has its tier.
func (v GrowthVerdict) Explain() string {
	if v.Tier == GrowthOK {
		return "growth as usual"
	}
	s := fmt.Sprintf("%s: %s, %.3g MB/min", v.Tier, growthCauses[v.cause], v.RatePerMin/1e6)
	if v.Doubling > 0 {
		s += fmt.Sprintf(", increments double every %s", v.Doubling.Round(time.Second))
	}
	if v.cause == causeShape {
		s += fmt.Sprintf(" (R2 %.2f over %s, size +%.2f %%)", v.fit.r2, v.fit.span, 100*v.fit.gain)
	}
	if v.AttackEvidence >= 1 {
		s += fmt.Sprintf(", %.0f attack events above the usual in %s", v.AttackEvidence, evidenceWindow)
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
	Tier     GrowthTier // of the last sample that told a size
	Score    float64
	Older    uint8 // samples in a row that were older than Time
	Fast     fastState
	Logins   evidenceState
	Profile  profileState
	Excess   excessState
	Blamed   float64 // attack events that a dismissed alarm was blamed on, slowly forgotten
}

// growthStateVersion is the first byte of a snapshot. Raise it when growthState changes.
const growthStateVersion = 2

// NewGrowth returns a detector that has seen nothing.
func NewGrowth(cfg GrowthConfig) *Growth {
	g := &Growth{cfg: cfg}
	// A guess worth two hours of ticks: clients commit every ten rows.
	g.st.Profile.CommitsPerRow = ratioState{Log: math.Log(0.1), N: 24}
	return g
}

// Observe takes the next sample and says what is known now. A sample that is not newer than the
// last, or tells no size, leaves tier and score as they were; three in a row that are older mean
// the clock was set back, and the detector follows it.
func (g *Growth) Observe(s GrowthSample) GrowthVerdict {
	st := &g.st
	if !sane(s.Time) {
		return g.standing(s.Time)
	}
	now := s.Time.UnixNano()
	if now == st.Time {
		return g.standing(s.Time)
	}
	if now < st.Time {
		if st.Older++; st.Older < 3 {
			return g.standing(s.Time)
		}
		st.Fast, st.SizeTime, st.Logins.Time, st.Profile.Time = fastState{}, 0, 0, 0
		st.Excess.Since, st.Excess.Trend = min(st.Excess.Since, now), trendState{}
	}
	if st.Time != 0 {
		st.Blamed *= math.Exp(-max(float64(now-st.Time), 0) / 1e9 / peakMemory)
	}
	st.Time, st.Older = now, 0

	st.Logins.counter(now, known(s.FailedLogins))
	if !(known(s.Size) > 0) {
		return g.standing(s.Time)
	}
	v := GrowthVerdict{Time: s.Time, AttackEvidence: st.Logins.excess(now)}
	g.slow(&v, s)
	g.fast(&v, s)
	st.SizeTime, st.Size = now, s.Size
	st.Tier, st.Score = v.Tier, v.Score
	return v
}

// sane times have nanoseconds since 1970 that do not overflow.
func sane(t time.Time) bool { return t.Unix() > 0 && t.Unix() < 1<<33 }

// standing is the verdict on a sample that tells nothing of the size: what stood, stands.
func (g *Growth) standing(t time.Time) GrowthVerdict {
	return GrowthVerdict{Time: t, Tier: g.st.Tier, Score: g.st.Score, cause: causeStanding}
}

// slow judges by what is usual at this hour; it needs no short samples, but days of them.
func (g *Growth) slow(v *GrowthVerdict, s GrowthSample) {
	now, x := s.Time.UnixNano(), &g.st.Excess
	counts := growthCounts{s.Size, known(s.Rows), known(s.Commits), known(s.FailedLogins), known(s.FailedTests), known(s.NetIn)}
	if t, ok := g.st.Profile.tick(now, counts, g.cfg.Extent); ok {
		x.observe(t, g.st.Profile.Ticks, g.st.Profile.Unit == unitNet)
		if clip := x.clip(now); clip > 0 {
			g.st.Profile.learn(t, clip)
		}
	}
	v.RatePerMin = x.Seen[0].Size / excessSpan[0] * 60
	v.Score, v.cause = x.Strength/(1+x.Strength), x.Cause
	if x.Since == 0 {
		if x.Strength >= watchStrength {
			v.Tier = GrowthWatch
		}
		return
	}
	v.Tier, v.Score = GrowthWarn, math.Max(v.Score, 0.5)
	v.Sure = g.st.Profile.Unit == unitNet && g.st.Profile.CommitsPerRow.value() > 0 && !math.IsNaN(counts.Commits)
	if eta, low, high, ok := x.forecast(now, g.cfg.Capacity-s.Size); ok {
		v.TimeToFull, v.TimeToFullLow, v.TimeToFullHigh = eta, low, high
		v.Doubling = minutes(x.Trend.Doubling / 60)
	}
	if x.Strength >= critStrength || v.TimeToFull > 0 && v.TimeToFull < critTimeToFull {
		v.Tier = GrowthCrit
	}
}

const (
	watchStrength  = 0.7           // part of the evidence an alarm takes that is worth a look
	critStrength   = 2             // times the evidence of an alarm that leaves no doubt
	critTimeToFull = 6 * time.Hour // an alarm with this forecast or less cannot wait
)

// fast judges the last minutes by their shape alone; it knows nothing of the usual.
func (g *Growth) fast(v *GrowthVerdict, s GrowthSample) {
	st := &g.st
	tier, f := st.Fast.observe(st.SizeTime, st.Size, s.Time.UnixNano(), s.Size)
	if f.rate > 0 {
		v.RatePerMin = f.rate
	}
	attacked := v.AttackEvidence >= math.Max(minEvidence, blamedMargin*st.Blamed)
	switch {
	case tier == fastStandard && attacked:
		v.Tier, v.Score = GrowthCrit, 1
	case tier == fastStandard:
		v.Tier, v.Score = max(v.Tier, GrowthWatch), math.Max(v.Score, 0.4)
	case tier == fastEarly && attacked:
		v.Tier, v.Score = max(v.Tier, GrowthWarn), math.Max(v.Score, 0.7)
	default:
		return
	}
	v.cause, v.fit = causeShape, f
	doubling := math.Ln2 / f.lambda
	v.Doubling = minutes(doubling)
	free := g.cfg.Capacity - s.Size
	v.TimeToFull = timeToFull(free, f.rate, doubling)
	v.TimeToFullLow = timeToFull(free, f.rate, math.Ln2/(f.lambda+1.3*f.se))
	v.TimeToFullHigh = timeToFull(free, f.rate, math.Ln2/math.Max(f.lambda-1.3*f.se, 1e-9))
}

// known makes unknown what no gauge or counter shows: a value below 0, or above any disk's size.
func known(x float64) float64 {
	if x >= 0 && x < 1e20 {
		return x
	}
	return math.NaN()
}

// Evidence adds n attack events of time t that other sources saw on the same database or its host
// (refused logins, WAF or IDS hits, bursts of 4xx). They make growth an attack sooner; without
// growth they say nothing.
func (g *Growth) Evidence(t time.Time, n float64) {
	if known(n) > 0 && sane(t) {
		g.st.Logins.add(t.UnixNano(), n)
		g.st.Profile.Events += n
		g.st.Profile.Joined = true
	}
}

// Dismiss says that the present alarm is false: it ends, and for some weeks only clearly more than
// it showed alarms again. Growth itself is still told of as something to watch.
func (g *Growth) Dismiss() {
	g.st.Excess.dismiss()
	g.st.Blamed = math.Max(g.st.Blamed, g.st.Logins.excess(g.st.Time))
}

// blamedMargin is how many times the attack events of a dismissed alarm there must be for growth to be blamed on them again.
const blamedMargin = 2

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

// AppendBinary appends a snapshot; it implements [encoding.BinaryAppender]. The configuration is
// not part of it.
func (g *Growth) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(append(b, growthStateVersion), binary.LittleEndian, &g.st)
}

// MarshalBinary returns a snapshot; it implements [encoding.BinaryMarshaler].
func (g *Growth) MarshalBinary() ([]byte, error) { return g.AppendBinary(nil) }

// UnmarshalBinary restores a snapshot, after which the detector goes on as if it had never
// stopped; it implements [encoding.BinaryUnmarshaler]. On an error nothing changes.
func (g *Growth) UnmarshalBinary(b []byte) error {
	var st growthState
	if len(b) != 1+binary.Size(&st) || b[0] != growthStateVersion {
		return fmt.Errorf("restore growth detector: %d bytes are not a state of version %d", len(b), growthStateVersion)
	}
	if _, err := binary.Decode(b[1:], binary.LittleEndian, &st); err != nil {
		return fmt.Errorf("restore growth detector: %w", err)
	}
	if !st.valid() {
		return errors.New("restore growth detector: the state is damaged")
	}
	g.st = st
	return nil
}

// valid checks what is used as an index.
func (s *growthState) valid() bool {
	ok := s.Fast.Next < fastSlots && s.Fast.N <= fastSlots && int(s.Excess.Cause) < len(growthCauses)
	for i := range s.Excess.Course {
		ok = ok && s.Excess.Course[i].Bucket >= 0
	}
	return ok
}
