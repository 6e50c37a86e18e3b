package correlate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Config is what an engine needs to know of its surroundings.
type Config struct {
	// Lateness is how far behind the newest event of its input partition an event may come. Zero means DefaultLateness.
	Lateness time.Duration `yaml:"lateness"`
	// Idle is how long, by the caller's clock, an input partition may be silent before the watermark goes on without it.
	// Zero means DefaultIdle.
	Idle time.Duration `yaml:"idle"`
	// MaxKeys bounds the keys of one rule. Beyond it the key that was touched longest ago is forgotten: a flood of keys
	// of one rule takes nothing from the others. Zero means DefaultMaxKeys.
	MaxKeys int `yaml:"max_keys"`
}

// Defaults of Config.
const (
	DefaultLateness = 2 * time.Minute
	DefaultIdle     = time.Minute
	DefaultMaxKeys  = 1 << 20
)

// Stats are what an engine has counted and holds. Counters are part of the transaction: what is rolled back is not counted.
type Stats struct {
	Signals    uint64 // matches judged
	Duplicates uint64 // seen before
	Torn       uint64 // behind one that the broker has refused; they come again
	Late       uint64 // behind the watermark
	Foreign    uint64 // of a rule, version or definition that the set does not have
	Evicted    uint64 // keys forgotten because their rule had too many
	Truncated  uint64 // oldest events of a key forgotten because it had too many
}

// Engine correlates the signals of one partition. It serves one goroutine.
type Engine struct {
	set   *rule.Set
	next  func() *rule.Set // the set to work with from the next signal on; nil where it stays
	cfg   Config
	rules map[string]*ruleState

	partition, partitions int   // of the signals topic: this engine's, and how many there are
	heard                 int64 // signals of alerts so far, which numbers them

	clocks   []clock                             // by the rules' depth
	byOrigin map[pipeline.TopicPartition]*origin // those of the first clock
	last     *origin                             // that of the last signal
	stats    Stats
	touches  uint64
	unfiled  bool // keys were restored and wait for the Commit to be filed on their clocks
	call     call // of the key at hand; one, so that it needs no allocation a signal
	// matcher judges alerts by the rules that take them; one of the set, made when there is such a rule.
	matcher *rule.Matcher

	tx transaction

	past func() map[string]*Past // what was known before the engine came; nil for nothing

	metrics  *Metrics // nil for none
	reporter int      // number of the engine there
}

// minTime is earlier than any event.
const minTime = -1 << 62

// ruleState is what the engine holds of one rule.
type ruleState struct {
	rule *rule.Rule
	keys map[string]*keyed
	// The keys in the order in which they were touched, oldest first: a ring through the sentinel.
	touched keyed
	bytes   int64 // encoded size of all keys, as Dirty and Restore last saw them
}

// keyed is the state of one correlation key of one rule.
type keyed struct {
	rule       *ruleState
	key        string
	judge      judge
	prev, next *keyed // in the order of being touched
	touched    uint64 // place in that order
	slot       int64  // where the timers hold it; 0 for nowhere
	tx         uint32 // transaction that touched it last
	size       uint32 // encoded, as Dirty or Restore last saw it
}

// judge is the state of one key, one implementation for each kind of rule.
type judge interface {
	// observe takes a signal.
	observe(c *call, s *pipeline.Signal)
	// expire forgets what the watermark has passed and resolves what is over.
	expire(c *call)
	// due returns when expire has something to do next, and whether there is anything left to keep. It depends on
	// nothing but the state, or a restored engine would do things at other times.
	due(c *call) (due int64, keep bool)
	// close resolves what is open: the rule is gone.
	close(c *call)
	// explain says how far the key is, for people, a line each.
	explain(r *rule.Rule) []string
	// encode appends the state; decode reads it into an empty one.
	encode(b []byte) []byte
	decode(d *decoder)
}

// call is what a judge works with.
type call struct {
	rule      *rule.Rule
	key       string
	watermark int64
	// ahead is by how much the rule waits less for late events than the watermark does.
	ahead   int64
	stats   *Stats
	scratch []byte
	values  []float64 // of a window's aggregates
	out     alert.Output
	growth  []*pipeline.Growth
}

// New returns an engine for the rules of the set. The set is shared and only read.
func New(set *rule.Set, cfg Config) *Engine {
	if cfg.Lateness == 0 {
		cfg.Lateness = DefaultLateness
	}
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = DefaultMaxKeys
	}
	e := &Engine{cfg: cfg, byOrigin: map[pipeline.TopicPartition]*origin{}, partitions: 1}
	e.call.stats = &e.stats
	e.use(set)
	e.tx.begin(e)
	return e
}

// Follow makes the engine work with the set that next returns, whichever that is: it swaps a whole set between two signals.
// Rules of the same version and digest keep their state; what the others have open is resolved. A set that is in use
// where signals are made must be next's by then, or its first signals are foreign.
func (e *Engine) Follow(next func() *rule.Set) { e.next = next }

// swap is part of a transaction: after a rollback the old set is back, and the next signal swaps again.
func (e *Engine) swap(set *rule.Set, out *pipeline.Output) {
	old := e.rules
	e.use(set)
	for _, id := range slices.Sorted(maps.Keys(old)) {
		r := old[id]
		if e.rules[id] == r {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(r.keys)) {
			e.end(r.keys[key], out)
		}
	}
}

// end forgets a key, and resolves what it has open.
func (e *Engine) end(k *keyed, out *pipeline.Output) {
	e.touchKey(k)
	c := e.at(k)
	c.out.Now, c.out.Alerts = out.Now, out.Alerts
	k.judge.close(c)
	e.said(c.out.Alerts[len(out.Alerts):])
	out.Alerts = c.out.Alerts
	e.forget(k)
}

func (e *Engine) use(set *rule.Set) {
	e.set, e.matcher = set, nil
	e.wind(set.Depth())
	old := e.rules
	e.rules = make(map[string]*ruleState, len(set.Rules))
	for _, r := range set.Rules {
		if s := old[r.ID]; s != nil && s.rule.Version == r.Version && s.rule.Digest == r.Digest {
			e.redefine(s, r)
			e.rules[r.ID] = s
			continue
		}
		s := &ruleState{rule: r, keys: map[string]*keyed{}}
		s.touched.prev, s.touched.next = &s.touched, &s.touched
		e.rules[r.ID] = s
	}
}

// redefine gives a rule's state the rule of another set. It is the same, but may be of another depth where others are not.
func (e *Engine) redefine(s *ruleState, r *rule.Rule) {
	moved := s.rule.Depth != r.Depth
	if s.rule = r; !moved {
		return
	}
	for _, k := range s.keys {
		e.refile(k)
	}
}

// newJudge returns the empty state of a key.
func newJudge(r *rule.Rule) judge {
	switch r.Kind {
	case rule.Threshold:
		return &window{}
	case rule.Match, rule.Sequence:
		return &sequence{}
	case rule.Growth:
		return &growth{}
	case rule.NewValue:
		return &newValue{}
	case rule.Absence:
		return &absence{}
	case rule.Risk:
		return &risk{}
	case rule.Spike:
		return &spike{}
	case rule.Silence:
		return newSilence(r)
	case rule.Anomaly:
		return newAnomaly(r)
	}
	panic("BUG: no judge for rules of kind " + string(r.Kind))
}

// Stats returns what was counted.
func (e *Engine) Stats() Stats { return e.stats }

// Keys returns how many keys the engine holds.
func (e *Engine) Keys() (n int) {
	for _, r := range e.rules {
		n += len(r.keys)
	}
	return n
}

// Explain says how far the state of a rule's key is and what is missing, a line each; none where there is no state.
func (e *Engine) Explain(id, key string) []string {
	r := e.rules[id]
	if r == nil || r.keys[key] == nil {
		return nil
	}
	return r.keys[key].judge.explain(r.rule)
}

// Learned returns the keys of the rules that learn what is usual, as rule and key, sorted.
func (e *Engine) Learned() (all [][2]string) {
	for id, r := range e.rules {
		for key, k := range r.keys {
			if _, ok := k.judge.(learner); ok {
				all = append(all, [2]string{id, key})
			}
		}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return all
}

// Watermark returns the event time up to which all events are expected to have come; ok is false before there is one.
func (e *Engine) Watermark() (t time.Time, ok bool) {
	w := e.clocks[0].watermark
	return time.Unix(0, w).UTC(), w != minTime
}

// Process takes the next signal of the partition and appends what it brings about to out. It keeps strings of the
// signal, not the signal.
func (e *Engine) Process(s *pipeline.Signal, out *pipeline.Output) {
	e.follow(out)
	if s.Kind <= pipeline.SignalWatermark && !e.arrive(s, out) {
		return
	}
	switch s.Kind {
	case pipeline.SignalPassed:
		e.passed(s, out)
		return
	case pipeline.SignalAlert:
		if !e.isNew(s) {
			return
		}
	}
	t := s.Time.UnixNano()
	r := e.rules[s.Rule]
	if r == nil || r.rule.Version != s.Version || r.rule.Digest != s.Digest || s.Step >= len(r.rule.Steps) {
		e.stats.Foreign++
		return
	}
	switch s.Kind {
	case pipeline.SignalDismiss:
		e.dismiss(r, s.EventID)
		return
	case pipeline.SignalForget:
		if k := r.keys[s.Key]; k != nil {
			e.end(k, out)
		}
		return
	case pipeline.SignalQuarantine:
		e.quarantined(r.rule, s, out)
		return
	}
	if t < e.clock(r).watermark {
		e.stats.Late++
		return
	}
	e.stats.Signals++
	k := e.touch(r, s, out)
	e.judge(k, s, out)
}

// Feed gives the engine the signals that its own alerts led to, and those that these lead to: where one engine has all
// keys there is no topic between.
func (e *Engine) Feed(out *pipeline.Output) {
	for e.pass(out); len(out.Signals) > 0; e.pass(out) { // it ends: rules do not hear each other in a circle
		next := out.Signals
		out.Signals = nil
		for i := range next {
			e.Process(&next[i], out)
		}
	}
}

// learner is a judge that learns from a false positive.
type learner interface {
	// found reports whether the alert is of the key.
	found(r *rule.Rule, alertID uuid.UUID) bool
	// dismiss asks more of the series that the alert is of, for a time.
	dismiss(r *rule.Rule, alertID uuid.UUID)
}

// dismiss tells the detector whose alert was a false positive.
func (e *Engine) dismiss(r *ruleState, alertID uuid.UUID) {
	for _, k := range r.keys {
		l, ok := k.judge.(learner)
		if !ok {
			return // only detectors learn
		}
		if l.found(r.rule, alertID) {
			e.touchKey(k)
			l.dismiss(r.rule, alertID)
			return
		}
	}
}

// isOf reports whether the alert is one of the episode's.
func isOf(e *alert.Episode, r *rule.Rule, alertID uuid.UUID) bool {
	return e != nil && slices.ContainsFunc(r.Subscriptions, func(s rule.Subscription) bool {
		return alert.ID(r, s.Team, r.DedupKey(e.Key), e.Start) == alertID
	})
}

// arrive notes where an input partition is. It reports whether the signal is a match that was not seen before, and that no
// other is missing before it.
func (e *Engine) arrive(s *pipeline.Signal, out *pipeline.Output) bool {
	o := e.origin(s.Origin)
	e.tx.touchOrigin(o)
	o.seen = out.Now
	if o.next.Before(s.After) {
		e.stats.Torn++
		return false
	}
	if s.Kind == pipeline.SignalMatch {
		if (pipeline.Place{Offset: s.Offset, Seq: s.Seq}).Before(o.next) {
			e.stats.Duplicates++
			return false
		}
		o.next = pipeline.Place{Offset: s.Offset, Seq: s.Seq + 1}
	}
	// A partition that was opened but not read yet says so with no time: the watermark waits for it.
	if !s.Time.IsZero() && !pipeline.Ahead(s.Time, s.Ingest) {
		e.move(o, s.Time.UnixNano(), out)
	}
	return s.Kind == pipeline.SignalMatch
}

// at makes the key the one at hand. The watermark is rounded down to what timers tell apart: what is over ends at the same
// signal whether a timer or a signal of the key itself comes upon it.
func (e *Engine) at(k *keyed) *call {
	c := &e.call
	c.rule, c.key, c.watermark, c.ahead = k.rule.rule, k.key, e.clock(k.rule).watermark, 0
	c.watermark -= mod(c.watermark, fineSlot)
	if l := c.rule.Lateness; l > 0 {
		c.ahead = max(int64(e.cfg.Lateness-l), 0)
	}
	return c
}

// judge gives a key a signal, or none where its time has come, and files or forgets the key.
func (e *Engine) judge(k *keyed, s *pipeline.Signal, out *pipeline.Output) {
	c := e.at(k)
	c.out.Now, c.out.Alerts, c.growth = out.Now, out.Alerts, out.Growth
	if s != nil {
		k.judge.observe(c, s)
	}
	k.judge.expire(c)
	e.said(c.out.Alerts[len(out.Alerts):])
	out.Alerts, out.Growth = c.out.Alerts, c.growth
	c.out.Alerts, c.growth = nil, nil
	due, keep := k.judge.due(c)
	e.tell(c.out.Heard, out)
	c.out.Heard = c.out.Heard[:0]
	out.Controls = append(out.Controls, c.out.Controls...)
	c.out.Controls = c.out.Controls[:0]
	if !keep {
		e.forget(k)
		return
	}
	e.schedule(k, due)
}

// tell makes signals of alerts for the rules that take them.
func (e *Engine) tell(heard []pipeline.Event, out *pipeline.Output) {
	if len(heard) == 0 {
		return
	}
	if e.matcher == nil {
		e.matcher = e.set.NewMatcher()
	}
	for i := range heard {
		b := pipeline.Batch{Signals: out.Signals}
		n := len(b.Signals)
		e.matcher.Hear(heard[i].Rule, &heard[i], &b)
		for j := range b.Signals[n:] {
			s := &b.Signals[n+j]
			if s.Kind == pipeline.SignalQuarantine {
				continue
			}
			s.Kind, s.Origin, s.Offset, s.Seq = pipeline.SignalAlert, pipeline.TopicPartition{Partition: int32(e.partition)}, e.heard, 0
			e.heard++
		}
		out.Signals = b.Signals
	}
}

// Tick moves the watermark past input partitions that have gone silent, follows the set, and tells the other partitions how far
// this one is. The caller calls it once a poll, after the poll's signals.
func (e *Engine) Tick(out *pipeline.Output) {
	changed := false
	for _, o := range e.clocks[0].origins {
		if idle := !o.seen.IsZero() && out.Now.Sub(o.seen) > e.cfg.Idle; idle && !o.idle {
			e.tx.touchOrigin(o)
			o.idle, changed = true, true
		}
	}
	if changed {
		e.advance(&e.clocks[0], out)
	}
	e.follow(out)
	e.pass(out)
}

// follow swaps the set where there is another one.
func (e *Engine) follow(out *pipeline.Output) {
	if e.next == nil {
		return
	}
	if set := e.next(); set != e.set {
		e.swap(set, out)
	}
}

func (e *Engine) origin(id pipeline.TopicPartition) *origin {
	if e.last != nil && e.last.id == id {
		return e.last
	}
	o := e.byOrigin[id]
	if o == nil {
		o = &origin{id: id, time: minTime}
		e.byOrigin[id] = o
		e.clocks[0].origins = append(e.clocks[0].origins, o)
		e.tx.newOrigin(o)
		e.clocks[0].slowest = nil
	}
	e.last = o
	return o
}

// touch returns the state of a key, made or found, and saves it for a rollback. What a key that has to go for it has open is
// resolved: nobody else would end it.
func (e *Engine) touch(r *ruleState, s *pipeline.Signal, out *pipeline.Output) *keyed {
	k := r.keys[s.Key]
	if k == nil {
		if len(r.keys) >= e.cfg.MaxKeys {
			e.end(r.touched.next, out)
			e.stats.Evicted++
		}
		k = &keyed{rule: r, key: s.Key, judge: newJudge(r.rule)}
		e.recall(k, s)
		e.insert(k)
		e.tx.newKey(k)
		return k
	}
	e.touchKey(k)
	k.unlink()
	e.link(k)
	return k
}

func (e *Engine) touchKey(k *keyed) {
	if k.tx != e.tx.number {
		e.tx.touchKey(k)
	}
}

// said notes records of alerts, for the metrics.
func (e *Engine) said(alerts []*pipeline.Alert) {
	for _, a := range alerts {
		e.tx.said = append(e.tx.said, said{a.Rule, a.Status})
	}
}

func (e *Engine) insert(k *keyed) {
	k.rule.keys[k.key] = k
	k.rule.bytes += int64(k.size)
	e.link(k)
}

func (e *Engine) forget(k *keyed) {
	k.slot = 0
	k.unlink()
	delete(k.rule.keys, k.key)
	k.rule.bytes -= int64(k.size)
}

// link makes the key the one that was touched last.
func (e *Engine) link(k *keyed) {
	e.touches++
	k.touched = e.touches
	k.append(&k.rule.touched)
}

// append puts the key before the sentinel, at the end of the ring.
func (k *keyed) append(sentinel *keyed) {
	k.prev, k.next = sentinel.prev, sentinel
	k.prev.next, sentinel.prev = k, k
}

// resize notes the encoded size of a key that is held.
func (k *keyed) resize(n int) {
	k.rule.bytes += int64(n) - int64(k.size)
	k.size = uint32(n)
}

// isDead tells that the key is not in its rule's map any more: it is in no ring.
func (k *keyed) isDead() bool { return k.next == nil }

func (k *keyed) unlink() {
	k.prev.next, k.next.prev = k.next, k.prev
	k.prev, k.next = nil, nil
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }
