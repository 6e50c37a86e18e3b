package correlate

import (
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// clock is the event time of rules of one depth. That of rules that take events follows the input partitions. That of rules that
// take alerts follows the partitions of the signals topic, each of which tells how far those are whose alerts they are: however
// long an alert is on its way, the clock waits for it.
type clock struct {
	origins   []*origin
	slowest   *origin // the one that holds the watermark back
	watermark int64   // Unix nanoseconds; minTime before there is one
	told      int64   // up to where pass has told; minTime where that has to be told again
	timers    timers
}

// origin is what is known of one input partition, or of one partition of the signals topic.
type origin struct {
	id    pipeline.TopicPartition
	depth int            // of the rules whose clock it moves
	time  int64          // newest event time; minTime before there is one
	next  pipeline.Place // behind the last match
	seen  time.Time      // when it was last heard of, by the caller's clock
	idle  bool
	tx    uint32
}

// Among makes the engine that of a partition of the signals topic, which has so many; one that is not told has all signals. It is
// called before the first signal.
func (e *Engine) Among(partition, partitions int) {
	e.partition, e.partitions = partition, partitions
	e.clocks = e.clocks[:1]
	e.wind(e.set.Depth())
}

// wind makes the clocks of rules that are so many alerts deep.
func (e *Engine) wind(depth int) {
	for d := len(e.clocks); d <= depth; d++ {
		c := clock{watermark: minTime, told: minTime}
		c.timers.init()
		for n := 0; d > 0 && n < e.partitions; n++ {
			c.origins = append(c.origins, &origin{id: pipeline.TopicPartition{Partition: int32(n)}, depth: d, time: minTime})
		}
		e.clocks = append(e.clocks, c)
	}
}

// clock returns that of a rule.
func (e *Engine) clock(r *ruleState) *clock { return &e.clocks[r.rule.Depth] }

// isNew reports whether the signal of an alert was not seen before, and notes it.
func (e *Engine) isNew(s *pipeline.Signal) bool {
	o := e.peer(1, s)
	if o == nil {
		return true // its rule takes no alerts any more, or is gone
	}
	e.tx.touchOrigin(o)
	if s.Offset < o.next.Offset {
		e.stats.Duplicates++
		return false
	}
	o.next.Offset = s.Offset + 1
	return true
}

// peer returns what the clock of a depth knows of the partition of the signals topic that a signal is from; nil for nothing.
func (e *Engine) peer(depth int, s *pipeline.Signal) *origin {
	if n := int(s.Origin.Partition); depth < len(e.clocks) && n >= 0 && n < len(e.clocks[depth].origins) {
		return e.clocks[depth].origins[n]
	}
	return nil
}

// passed notes how far a partition of the signals topic is with the rules whose alerts others take.
func (e *Engine) passed(s *pipeline.Signal, out *pipeline.Output) {
	if o := e.peer(s.Step+1, s); o != nil { // or else nobody here waits for rules that deep
		e.tx.touchOrigin(o)
		e.move(o, s.Time.UnixNano(), out)
	}
}

// pass tells whoever takes alerts how far those are that give them, once a slot of the timers: what they gave is in out already.
func (e *Engine) pass(out *pipeline.Output) {
	for depth := range len(e.clocks) - 1 {
		c := &e.clocks[depth]
		if w := c.watermark - mod(c.watermark, fineSlot); c.watermark != minTime && w > c.told {
			c.told = w
			out.Signals = append(out.Signals, pipeline.Signal{
				Kind: pipeline.SignalPassed, Origin: pipeline.TopicPartition{Partition: int32(e.partition)}, Step: depth, Time: time.Unix(0, w).UTC(),
			})
		}
	}
}

// move notes an origin's event time, and the watermark with it.
func (e *Engine) move(o *origin, t int64, out *pipeline.Output) {
	woken := o.idle
	o.idle = false
	if t <= o.time && !woken {
		return
	}
	o.time = max(o.time, t)
	if c := &e.clocks[o.depth]; woken || c.slowest == nil || c.slowest == o {
		e.advance(c, out)
	}
}

// advance computes the watermark and runs what was waiting for it. The watermark never goes back.
func (e *Engine) advance(c *clock, out *pipeline.Output) {
	c.slowest = nil
	for _, o := range c.origins {
		if !o.idle && (c.slowest == nil || o.time < c.slowest.time) {
			c.slowest = o
		}
	}
	if c.slowest == nil || c.slowest.time == minTime {
		return
	}
	w := c.slowest.time - int64(e.cfg.Lateness)
	if w <= c.watermark {
		return
	}
	c.watermark = w
	for _, k := range c.timers.due(w) {
		if due, _ := k.judge.due(e.at(k)); due > e.call.watermark {
			e.schedule(k, due) // a coarse slot came up early
			continue
		}
		e.touchKey(k)
		e.judge(k, nil, out)
	}
}

// schedule files a key on the clock of its rule.
func (e *Engine) schedule(k *keyed, due int64) {
	c := e.clock(k.rule)
	c.timers.schedule(k, due, c.watermark)
}

// refile files a key whose state or whose clock is another.
func (e *Engine) refile(k *keyed) {
	k.slot = 0
	due, _ := k.judge.due(e.at(k))
	e.schedule(k, due)
}
