package correlate

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// transaction is what it takes to undo everything since the last Commit: the encoded state of each key as it was when it
// was touched first, in one arena, and copies of what is small.
type transaction struct {
	number     uint32
	keys       []undoKey
	arena      []byte
	key        []byte // of a record of the changelog, with its value: memory that Dirty uses again
	value      []byte
	origins    []undoOrigin
	stats      Stats
	watermarks []int64 // of the clocks
	heard      int64
	touches    uint64
	set        *rule.Set
	rules      map[string]*ruleState
	said       []said // records of alerts
}

type undoKey struct {
	key      *keyed
	from, to int     // of the arena
	chunks   []chunk // of a large window
	touched  uint64
	existed  bool // before the transaction
}

type undoOrigin struct {
	origin *origin
	before origin
	isNew  bool
}

func (t *transaction) begin(e *Engine) {
	t.number++
	clear(t.keys)
	t.keys, t.arena, t.origins, t.said = t.keys[:0], t.arena[:0], t.origins[:0], t.said[:0]
	t.set, t.rules = e.set, e.rules
	t.stats, t.touches, t.heard = e.stats, e.touches, e.heard
	t.watermarks = t.watermarks[:0]
	for i := range e.clocks {
		t.watermarks = append(t.watermarks, e.clocks[i].watermark)
	}
}

func (t *transaction) newKey(k *keyed) {
	k.tx = t.number
	t.keys = append(t.keys, undoKey{key: k})
}

func (t *transaction) touchKey(k *keyed) {
	k.tx = t.number
	from := len(t.arena)
	var chunks []chunk
	if w, ok := k.judge.(*window); ok {
		t.arena, chunks = w.save(t.arena)
	} else {
		t.arena = k.judge.encode(t.arena)
	}
	t.keys = append(t.keys, undoKey{k, from, len(t.arena), chunks, k.touched, true})
}

func (t *transaction) newOrigin(o *origin) {
	o.tx = t.number
	t.origins = append(t.origins, undoOrigin{origin: o, isNew: true})
}

func (t *transaction) touchOrigin(o *origin) {
	if o.tx != t.number {
		o.tx = t.number
		t.origins = append(t.origins, undoOrigin{origin: o, before: *o})
	}
}

// Commit makes everything since the last Commit final.
func (e *Engine) Commit() {
	if e.metrics != nil {
		e.metrics.report(e)
	}
	if e.unfiled {
		e.unfiled = false
		for _, r := range e.rules {
			for k := r.touched.next; k != &r.touched; k = k.next {
				e.refile(k)
			}
		}
	}
	e.tx.begin(e)
}

// Rollback makes the state what it was at the last Commit.
func (e *Engine) Rollback() {
	t := &e.tx
	disordered := map[*ruleState]bool{}
	for i := len(t.keys) - 1; i >= 0; i-- {
		u := t.keys[i]
		k := u.key
		if !u.existed {
			if !k.isDead() {
				e.forget(k)
			}
			continue
		}
		k.judge = newJudge(k.rule.rule)
		state := t.arena[u.from:u.to]
		if u.chunks != nil {
			state = withChunks(state, u.chunks)
		}
		d := &decoder{rest: state}
		k.judge.decode(d)
		if d.bad {
			panic("BUG: a state cannot be decoded from its own encoding")
		}
		if k.isDead() {
			k.rule.keys[k.key] = k
			k.append(&k.rule.touched)
			k.rule.bytes += int64(k.size)
		}
		k.resize(len(state) + 1) // and the version
		k.touched = u.touched
		disordered[k.rule] = true
		defer e.refile(k) // once the watermark is back as well
	}
	for r := range disordered {
		r.reorder()
	}
	for i := len(t.origins) - 1; i >= 0; i-- {
		u := t.origins[i]
		if u.isNew {
			delete(e.byOrigin, u.origin.id)
			e.clocks[0].origins = e.clocks[0].origins[:len(e.clocks[0].origins)-1]
			continue
		}
		*u.origin = u.before
	}
	for i := range e.clocks {
		c := &e.clocks[i]
		c.slowest, c.told, c.watermark = nil, minTime, minTime
		if i < len(t.watermarks) { // the set had rules of that depth
			c.watermark = t.watermarks[i]
		}
	}
	if e.set != t.set {
		e.set, e.rules, e.matcher = t.set, t.rules, nil
		for _, r := range t.set.Rules {
			e.redefine(e.rules[r.ID], r)
		}
	}
	e.last = nil
	e.stats, e.touches, e.heard = t.stats, t.touches, t.heard
	t.begin(e)
}

// reorder puts the keys back into the order in which they were touched.
func (r *ruleState) reorder() {
	keys := slices.SortedFunc(maps.Values(r.keys), func(a, b *keyed) int { return cmp.Compare(a.touched, b.touched) })
	r.touched.prev, r.touched.next = &r.touched, &r.touched
	for _, k := range keys {
		k.append(&r.touched)
	}
}
