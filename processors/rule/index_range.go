package rule

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// numberIndex files steps under bounds of one number.
type numberIndex struct {
	get   func(*event) float64
	equal map[float64][]int32
	least []bound // steps that want the number or more, rising
	most  []bound // steps that want the number or less, falling
}

type bound struct {
	number float64
	step   int32
}

func (x *numberIndex) add(k indexKey, step int32) {
	switch k.op {
	case keyNumber:
		if x.equal == nil {
			x.equal = map[float64][]int32{}
		}
		x.equal[k.number] = append(x.equal[k.number], step)
	case keyLeast:
		x.least = append(x.least, bound{k.number, step})
	case keyMost:
		x.most = append(x.most, bound{k.number, step})
	}
}

// file makes it ready, once all is added.
func (x *numberIndex) file() {
	slices.SortFunc(x.least, func(a, b bound) int { return cmp.Compare(a.number, b.number) })
	slices.SortFunc(x.most, func(a, b bound) int { return cmp.Compare(b.number, a.number) })
}

func (x *numberIndex) lookup(v float64, into *stepSet) {
	if x.equal != nil {
		into.addAll(x.equal[v])
	}
	for i := range x.least {
		if x.least[i].number > v {
			break
		}
		into.add(x.least[i].step)
	}
	for i := range x.most {
		if x.most[i].number < v {
			break
		}
		into.add(x.most[i].step)
	}
}

// networkIndex files steps under networks that one address must lie in.
type networkIndex struct {
	get   func(*event) netip.Addr
	steps map[netip.Prefix][]int32
	// table has with each network the steps of those that it lies in as well: the longest match of an address tells all.
	table bart.Table[[]int32]
	first [4]uint64 // the first bytes that IPv4 addresses of the networks have: most addresses are in none
}

func (x *networkIndex) add(k indexKey, step int32) {
	x.steps[k.network] = append(x.steps[k.network], step)
}

// file makes it ready, once all is added.
func (x *networkIndex) file() {
	networks := make([]netip.Prefix, 0, len(x.steps))
	for p := range x.steps {
		networks = append(networks, p)
	}
	slices.SortFunc(networks, func(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) })
	for _, p := range networks {
		around, _ := x.table.Lookup(p.Addr())
		x.table.Insert(p, slices.Concat(around, x.steps[p]))
		if p.Addr().Is4() {
			from := int(p.Addr().As4()[0])
			for b := from; b < from+1<<max(0, 8-p.Bits()); b++ {
				x.first[b/64] |= 1 << (b % 64)
			}
		}
	}
	x.steps = nil
}

func (x *networkIndex) lookup(addr netip.Addr, into *stepSet) {
	addr = addr.Unmap()
	if addr.Is4() {
		if b := addr.As4()[0]; x.first[b/64]&(1<<(b%64)) == 0 {
			return
		}
	}
	if steps, ok := x.table.Lookup(addr); ok {
		into.addAll(steps)
	}
}
