package alert

import (
	"encoding/json" // knows omitzero
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// deskTransaction is what it takes to undo everything since the last Commit, and to write it down.
type deskTransaction struct {
	number  uint32
	undo    []func()
	changed []string // changelog keys, in the order in which they changed first
	seen    map[string]bool
	clock   deskClock
}

// deskClock is part of the state: what is due by time comes at the same record after a restart as without one.
type deskClock struct {
	Now     int64 `json:"now"`     // Unix nanoseconds
	Scanned int64 `json:"scanned"` // last look for what is due by time
}

// Changelog keys begin with what they are of.
const (
	ofAlert   = 'a' // + id
	ofSilence = 's' // + team/id
	ofTeam    = 't' // + name
	ofClock   = 'c'
)

func (d *Desk) change(kind byte, key string, undo func()) {
	name := string(kind) + key
	if !d.tx.seen[name] {
		d.tx.seen[name] = true
		d.tx.changed = append(d.tx.changed, name)
	}
	d.tx.undo = append(d.tx.undo, undo)
}

// touch saves the alert as it is, once in a transaction.
func (d *Desk) touch(h *held) {
	if h.tx == d.tx.number {
		return
	}
	h.tx = d.tx.number
	before, indexed := *h, len(h.indexed) > 0
	d.change(ofAlert, string(h.ID[:]), func() {
		d.unindex(h)
		*h = before
		h.indexed = nil
		if indexed {
			d.index(h)
		}
		d.alerts[h.ID] = h
	})
}

// add begins to follow an alert.
func (d *Desk) add(a *pipeline.Alert) *held {
	h := &held{ID: a.ID, Team: a.Team, Rule: a.Rule, tx: d.tx.number}
	d.alerts[h.ID] = h
	d.change(ofAlert, string(h.ID[:]), func() {
		d.unindex(h)
		delete(d.alerts, h.ID)
	})
	return h
}

// forget ends following an alert that was touched.
func (d *Desk) forget(h *held) {
	d.unindex(h)
	d.keep(h, nil)
	delete(d.alerts, h.ID)
}

func (d *Desk) setSilence(key string, s *silence) {
	before := d.silences[key]
	d.change(ofSilence, key, func() { put(d.silences, key, before) })
	put(d.silences, key, s)
}

// touchQuota returns the team's quota, made or found, saved as it was.
func (d *Desk) touchQuota(team string) *quota {
	q := d.teams[team]
	if d.tx.seen[string(ofTeam)+team] {
		return q
	}
	if q == nil {
		q = &quota{Team: team}
		d.teams[team] = q
		d.change(ofTeam, team, func() { delete(d.teams, team) })
		return q
	}
	before := *q
	before.ByRule = maps.Clone(q.ByRule)
	d.change(ofTeam, team, func() { d.teams[team] = &before })
	return q
}

func put[K comparable, V any](m map[K]*V, key K, v *V) {
	if v == nil {
		delete(m, key)
		return
	}
	m[key] = v
}

// Commit implements pipeline.Stateful.
func (d *Desk) Commit() {
	clear(d.tx.undo)
	d.tx = deskTransaction{number: d.tx.number + 1, undo: d.tx.undo[:0], changed: d.tx.changed[:0], seen: map[string]bool{}, clock: d.clock}
}

// Rollback implements pipeline.Stateful.
func (d *Desk) Rollback() {
	for i := len(d.tx.undo) - 1; i >= 0; i-- {
		d.tx.undo[i]()
	}
	d.bodies = 0
	for _, h := range d.alerts {
		if h.Last != nil {
			d.bodies++
		}
	}
	d.clock = d.tx.clock
	d.Commit()
}

// Dirty implements pipeline.Stateful.
func (d *Desk) Dirty(f func(key, value []byte)) {
	if d.clock != d.tx.clock {
		f([]byte{ofClock}, encodeState(d.clock))
	}
	for _, name := range d.tx.changed {
		var value any
		switch key := name[1:]; name[0] {
		case ofAlert:
			if h := d.alerts[uuid.UUID([]byte(key))]; h != nil {
				value = h
			}
		case ofSilence:
			if s := d.silences[key]; s != nil {
				value = s
			}
		case ofTeam:
			if q := d.teams[key]; q != nil {
				value = q
			}
		}
		if value == nil {
			f([]byte(name), nil)
			continue
		}
		f([]byte(name), encodeState(value))
	}
}

func encodeState(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a desk's state cannot be encoded: " + err.Error())
	}
	return b
}

// Restore implements pipeline.Stateful.
func (d *Desk) Restore(key, value []byte) error {
	if len(key) == 0 {
		return errors.New("restore desk: a key is empty")
	}
	var err error
	switch name := string(key[1:]); key[0] {
	case ofAlert:
		if len(name) != len(uuid.UUID{}) {
			return fmt.Errorf("restore desk: key %q is no alert's", key)
		}
		if old := d.alerts[uuid.UUID(key[1:])]; old != nil {
			d.forget(old)
		}
		if len(value) == 0 {
			return nil
		}
		h := &held{old: true}
		if err = json.Unmarshal(value, h); err == nil {
			d.alerts[h.ID] = h
			d.keep(h, h.Last)
			if h.Last != nil {
				d.bodies = d.bodies + 1 // keep took one away for the one that was there
				d.index(h)
			}
			d.restored = true
		}
	case ofClock:
		err = json.Unmarshal(value, &d.clock)
	case ofSilence:
		err = restore(d.silences, name, value)
	case ofTeam:
		err = restore(d.teams, name, value)
	default:
		return fmt.Errorf("restore desk: key %q is of no kind", key)
	}
	if err != nil {
		return fmt.Errorf("restore desk: key %q: %w", key, err)
	}
	return nil
}

func restore[V any](m map[string]*V, key string, value []byte) error {
	if len(value) == 0 {
		delete(m, key)
		return nil
	}
	v := new(V)
	if err := json.Unmarshal(value, v); err != nil {
		return err
	}
	m[key] = v
	return nil
}
