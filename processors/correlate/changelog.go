package correlate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Changelog keys begin with what they are of.
const (
	changelogOrigin = 'o'
	changelogKey    = 'k'
	changelogHeard  = 'h' // how many signals of alerts there were
	changelogPassed = 'p' // a partition of the signals topic, as the clock of a depth knows it
)

// stateVersion is the first byte of every encoded state.
const stateVersion = 3

// Dirty calls f for every state that has changed since the last Commit: the records of a compacted changelog. A nil
// value means that the state is gone. The slices are valid until f returns. The order is that of the changes.
func (e *Engine) Dirty(f func(key, value []byte)) {
	key, value := e.tx.key, e.tx.value
	defer func() { e.tx.key, e.tx.value = key, value }()
	for _, u := range e.tx.keys {
		k := u.key
		if k.isDead() && k.rule.keys[k.key] != nil {
			continue // it was forgotten and came again: the later one speaks
		}
		key = appendChangelogKey(key[:0], k.rule.rule, k.key)
		if k.isDead() {
			if u.existed {
				f(key, nil)
			}
			continue
		}
		value = k.judge.encode(append(value[:0], stateVersion))
		k.resize(len(value))
		f(key, value)
	}
	for _, u := range e.tx.origins {
		o := u.origin
		if o.depth > 0 {
			key = binary.AppendVarint(binary.AppendVarint(append(key[:0], changelogPassed), int64(o.depth)), int64(o.id.Partition))
		} else {
			key = appendOriginID(append(key[:0], changelogOrigin), o.id)
		}
		value = append(value[:0], stateVersion)
		value = binary.AppendVarint(value, o.time)
		value = binary.AppendVarint(value, o.next.Offset)
		value = binary.AppendUvarint(value, uint64(o.next.Seq))
		value = binary.AppendVarint(value, e.clocks[o.depth].watermark)
		f(key, value)
	}
	if e.heard != e.tx.heard {
		f(append(key[:0], changelogHeard), binary.AppendVarint(append(value[:0], stateVersion), e.heard))
	}
}

func appendChangelogKey(b []byte, r *rule.Rule, key string) []byte {
	b = append(b, changelogKey)
	b = appendText(b, r.ID)
	b = binary.AppendUvarint(b, uint64(r.Version))
	b = binary.LittleEndian.AppendUint64(b, r.Digest)
	return append(b, key...)
}

func appendOriginID(b []byte, id pipeline.TopicPartition) []byte {
	b = appendText(b, id.Topic)
	b = append(b, id.ID[:]...)
	return binary.AppendVarint(b, int64(id.Partition))
}

var errState = errors.New("state is damaged or of another version")

// Restore takes a record of the changelog, in its order, before the first signal; a Commit ends it. States of rules that the set does
// not have, or has in another version or with another digest, are ignored.
func (e *Engine) Restore(key, value []byte) error {
	if len(key) == 0 || len(value) > 0 && value[0] != stateVersion {
		return fmt.Errorf("restore %q: %w", key, errState)
	}
	d, kd := &decoder{}, &decoder{rest: key[1:]}
	if len(value) > 0 {
		d.rest = value[1:]
	}
	switch key[0] {
	case changelogOrigin:
		id := pipeline.TopicPartition{Topic: kd.text(), ID: kd.uuid(), Partition: int32(kd.varint())}
		e.restoreOrigin(e.origin(id), d)
	case changelogHeard:
		e.heard = d.varint()
	case changelogPassed:
		depth, n := kd.varint(), kd.varint()
		if kd.bad || depth < 1 || n < 0 {
			return fmt.Errorf("restore %q: %w", key, errState)
		}
		if depth >= int64(len(e.clocks)) || n >= int64(e.partitions) {
			return nil // of a set that had deeper rules
		}
		e.restoreOrigin(e.clocks[depth].origins[n], d)
	case changelogKey:
		id, version, digest := kd.text(), int(kd.uvarint()), kd.uint64()
		r := e.rules[id]
		if r == nil || r.rule.Version != version || r.rule.Digest != digest {
			return nil
		}
		if old := r.keys[string(kd.rest)]; old != nil && !kd.bad {
			e.forget(old)
		}
		if len(value) == 0 {
			return nil
		}
		k := &keyed{rule: r, key: string(kd.rest), judge: newJudge(r.rule), size: uint32(len(value))}
		if k.judge.decode(d); !d.bad && !kd.bad {
			e.insert(k)
			e.unfiled = true // a log has many versions of a state, and each that was filed would be held until it was due
		}
	default:
		return fmt.Errorf("restore %q: %w", key, errState)
	}
	if d.bad || kd.bad || len(d.rest) > 0 {
		return fmt.Errorf("restore %q: %w", key, errState)
	}
	return nil
}

func (e *Engine) restoreOrigin(o *origin, d *decoder) {
	o.time, o.next = d.varint(), pipeline.Place{Offset: d.varint(), Seq: uint32(d.uvarint())}
	c := &e.clocks[o.depth]
	c.watermark, c.slowest = max(c.watermark, d.varint()), nil
}
