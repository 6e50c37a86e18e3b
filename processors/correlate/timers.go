package correlate

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// timers hold keys until the watermark reaches a time. A key is in one slot that counts; entries of slots that it has
// left are skipped when they come up. Far slots are coarse, so that a million keys that wait for weeks share a few.
type timers struct {
	slots map[int64][]*keyed
	order slotHeap
	batch []*keyed
}

const (
	fineSlot   = int64(time.Second)
	middleSlot = int64(time.Minute)
	coarseSlot = int64(time.Hour)
)

func (t *timers) init() { t.slots = map[int64][]*keyed{} }

// schedule sees to it that the key comes up when the watermark reaches due, rounded up to fineSlot, or earlier; due in
// the past means at the watermark's next move.
func (t *timers) schedule(k *keyed, due, watermark int64) {
	slot := due
	switch wait := due - watermark; {
	case watermark == minTime || wait <= 4*middleSlot:
		slot += fineSlot - 1
		slot -= mod(slot, fineSlot)
	case wait <= 4*coarseSlot:
		slot -= mod(slot, middleSlot)
	default:
		slot -= mod(slot, coarseSlot)
	}
	if slot == 0 {
		slot = 1
	}
	if k.slot != 0 && k.slot <= slot {
		return // it comes up earlier and is filed again then
	}
	k.slot = slot
	list, ok := t.slots[slot]
	t.slots[slot] = append(list, k)
	if !ok {
		heap.Push(&t.order, slot)
	}
}

// due takes the keys out whose slot the watermark has reached, in an order that does not depend on how they came in.
// The slice is valid until the next call.
func (t *timers) due(watermark int64) []*keyed {
	clear(t.batch)
	t.batch = t.batch[:0]
	for len(t.order) > 0 && t.order[0] <= watermark {
		slot := heap.Pop(&t.order).(int64)
		for _, k := range t.slots[slot] {
			if k.slot == slot && !k.isDead() {
				k.slot = 0
				t.batch = append(t.batch, k)
			}
		}
		delete(t.slots, slot)
	}
	slices.SortFunc(t.batch, func(a, b *keyed) int {
		return cmp.Or(cmp.Compare(a.rule.rule.ID, b.rule.rule.ID), cmp.Compare(a.key, b.key))
	})
	return t.batch
}

type slotHeap []int64

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h slotHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *slotHeap) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *slotHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
