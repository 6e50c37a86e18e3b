package correlate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// absence is the state of a key of an absence rule. A trigger at time t is answered by an expected event of a time from
// t-Before to t+Window; where none has come when the watermark passes t+Window, the rule fires: never early, and once the
// late events have had their time. A rule without a trigger expects the same again: each expected event is the trigger
// of the next, which must be later.
type absence struct {
	pending []hit   // triggers that nothing has answered yet, by time
	came    []int64 // times of expected events that a trigger may still need, rising; thinned
	attack  []int64 // times of what goes on meanwhile (the while step), rising; thinned
	context alert.Context
	episode *alert.Episode
}

const (
	maxPending = 64 // triggers of one key; beyond it those are forgotten that others stand close to
	maxTimes   = 64 // slices' worth of times of one key; the newest
	// giveUp is how long a source that should come again and again may be gone until its alert is closed: somebody has
	// taken it away for good.
	giveUp = 7 * 24 * time.Hour
)

// steps of an absence rule; -1 for those that it does not have.
func absenceSteps(r *rule.Rule) (trigger, while int) {
	trigger, while = -1, -1
	for i := range r.Steps {
		switch r.Steps[i].Role {
		case rule.RoleMatch:
			trigger = i
		case rule.RoleWhile:
			while = i
		}
	}
	return trigger, while
}

func (a *absence) observe(c *call, s *pipeline.Signal) {
	t := s.Time.UnixNano()
	trigger, while := absenceSteps(c.rule)
	a.context.Note(c.rule, s)
	if s.Step == while {
		// A window of Within and more must hold Count of them.
		a.attack = insertTime(a.attack, t, int64(c.rule.Steps[while].Within), c.rule.Steps[while].Count)
		return
	}
	h := hit{time: t, id: s.EventID, armed: true}
	if s.Step == trigger {
		if a.expect(c, h, t-int64(c.rule.Before)) {
			open(c, s)
		}
		return
	}
	after := int64(0) // what answers a trigger may be of the same time, but not the same event
	if trigger < 0 {
		after = 1
	}
	a.pending = slices.DeleteFunc(a.pending, func(p hit) bool {
		answered := t >= p.time-int64(c.rule.Before)+after && t <= p.time+int64(c.rule.Window)
		if answered {
			shut(c, p.id)
		}
		return answered
	})
	if e := a.episode; e != nil && e.Open && t > e.Held {
		e.Resolve(c.rule, &a.context, &c.out)
	}
	wait := int64(c.rule.Window) // that one of them answers a trigger within
	if trigger >= 0 {
		wait += int64(c.rule.Before)
	}
	a.came = insertTime(a.came, t, max(wait/2, 1), 1)
	if trigger < 0 {
		a.expect(c, h, t+1)
	}
}

// insertTime puts t where it belongs and keeps of each slice of time the first n and the last n. That is enough to tell
// exactly whether an interval holds n of all times, as long as it is no shorter than a slice: it then covers one end at
// least of every slice that it meets. A flood between two watermarks takes no more than that.
func insertTime(list []int64, t, slice int64, n int) []int64 {
	i, _ := slices.BinarySearch(list, t)
	list = slices.Insert(list, i, t)
	at := floorDiv(t, slice)
	low, high := i, i+1
	for low > 0 && floorDiv(list[low-1], slice) == at {
		low--
	}
	for high < len(list) && floorDiv(list[high], slice) == at {
		high++
	}
	if high-low > 2*n {
		list = slices.Delete(list, low+n, low+n+1)
	}
	if most := 2 * n * maxTimes; len(list) > most {
		list = slices.Delete(list, 0, len(list)-most)
	}
	return list
}

// floorDiv is a/b rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// expect adds a trigger unless it has been answered by an event from the given time on.
func (a *absence) expect(c *call, h hit, from int64) (added bool) {
	i, _ := slices.BinarySearch(a.came, from)
	if i < len(a.came) && a.came[i] <= h.time+int64(c.rule.Window) {
		return false
	}
	at := len(a.pending)
	for at > 0 && a.pending[at-1].time > h.time {
		at--
	}
	a.pending = slices.Insert(a.pending, at, h)
	if len(a.pending) > maxPending {
		a.pending = thin(a.pending)
		c.stats.Truncated++
	}
	return true
}

// thin forgets the trigger whose neighbours are the closest to each other. The oldest stays: were it forgotten, a key with
// many triggers would never come to the end of its time.
func thin(pending []hit) []hit {
	closest := 1
	for i := 2; i < len(pending)-1; i++ {
		if pending[i+1].time-pending[i-1].time < pending[closest+1].time-pending[closest-1].time {
			closest = i
		}
	}
	return slices.Delete(pending, closest, closest+1)
}

func (a *absence) expire(c *call) {
	n := 0
	for n < len(a.pending) && a.deadline(c, a.pending[n]) <= c.watermark {
		a.fire(c, a.pending[n])
		n++
	}
	a.pending = slices.Delete(a.pending, 0, n)
	if e := a.episode; e != nil {
		if e.Open && c.watermark >= a.closes(c.rule) {
			e.Resolve(c.rule, &a.context, &c.out)
		}
		if !e.Open && c.watermark >= e.Ends(c.rule) {
			a.episode = nil
		}
	}
	// Of what came before the watermark the newest is enough, and not for longer than Before.
	past, _ := slices.BinarySearch(a.came, c.watermark+1)
	if past > 0 && a.came[past-1] >= c.watermark-int64(c.rule.Before) {
		past--
	}
	a.came = slices.Delete(a.came, 0, past)
	if _, while := absenceSteps(c.rule); while >= 0 {
		old, _ := slices.BinarySearch(a.attack, c.watermark-int64(c.rule.Steps[while].Within)-int64(c.rule.Window))
		a.attack = slices.Delete(a.attack, 0, old)
	}
}

// deadline is the watermark at which a trigger is taken to be unanswered.
func (a *absence) deadline(c *call, h hit) int64 { return h.time + int64(c.rule.Window) - c.ahead }

// closes is when an open alert is closed though nothing came.
func (a *absence) closes(r *rule.Rule) int64 {
	if trigger, _ := absenceSteps(r); trigger < 0 {
		return a.episode.Held + int64(giveUp)
	}
	return a.episode.Held + int64(r.Dedup)
}

func (a *absence) fire(c *call, h hit) {
	end := h.time + int64(c.rule.Window)
	if _, while := absenceSteps(c.rule); while >= 0 {
		from := h.time - int64(c.rule.Steps[while].Within)
		n := 0
		for _, t := range a.attack {
			if t >= from && t <= end {
				n++
			}
		}
		if n < c.rule.Steps[while].Count {
			return
		}
	}
	e := a.episode
	if e == nil || !e.Belongs(c.rule, h.time) {
		e = &alert.Episode{Key: c.key}
		a.episode = e
	}
	e.Add(h.time, h.id, 1)
	// What makes it fire is time, not an event: how long that took counts from the end of the wait.
	e.Fire(c.rule, &a.context, end, time.Unix(0, end), rule.LevelWarn, &c.out)
}

func (a *absence) due(c *call) (due int64, keep bool) {
	if len(a.pending) > 0 {
		due, keep = a.deadline(c, a.pending[0]), true
	}
	if e := a.episode; e != nil {
		end := e.Ends(c.rule)
		if e.Open {
			end = a.closes(c.rule)
		}
		if !keep || end < due {
			due = end
		}
		return due, true
	}
	if keep {
		return due, true
	}
	if n := len(a.came); n > 0 {
		due, keep = a.came[n-1]+int64(c.rule.Before)+1, true
	}
	if _, while := absenceSteps(c.rule); while >= 0 && len(a.attack) > 0 {
		due, keep = max(due, a.attack[len(a.attack)-1]+int64(c.rule.Steps[while].Within)+int64(c.rule.Window)+1), true
	}
	return due, keep
}

func (a *absence) close(c *call) {
	if a.episode != nil {
		a.episode.Resolve(c.rule, &a.context, &c.out)
	}
}

func (a *absence) explain(r *rule.Rule) []string {
	var lines []string
	for _, h := range a.pending {
		lines = append(lines, fmt.Sprintf("waits for what is expected until %s", formatTime(h.time+int64(r.Window))))
	}
	if n := len(a.came); n > 0 {
		lines = append(lines, fmt.Sprintf("what is expected came last at %s", formatTime(a.came[n-1])))
	}
	if _, while := absenceSteps(r); while >= 0 {
		lines = append(lines, fmt.Sprintf("while: %d of %d", len(a.attack), r.Steps[while].Count))
	}
	return append(lines, explainEpisode(a.episode)...)
}

func (a *absence) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(a.pending)))
	for _, h := range a.pending {
		b = binary.AppendVarint(b, h.time)
		b = append(b, h.id[:]...)
	}
	b = appendTimes(b, a.came)
	b = appendTimes(b, a.attack)
	b = appendContext(b, &a.context)
	return appendEpisode(b, a.episode)
}

func (a *absence) decode(d *decoder) {
	for range d.count() {
		a.pending = append(a.pending, hit{time: d.varint(), id: d.uuid(), armed: true})
	}
	a.came = d.times()
	a.attack = d.times()
	a.context = d.context()
	a.episode = d.episode()
}
