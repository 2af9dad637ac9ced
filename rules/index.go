package rules

import (
	"cmp"
	"net/netip"
	"slices"
)

// A dimension is one thing that rules compare: an address or a port. Its
// values are cut at every border of a prefix or range of any rule; between two
// cuts the same rules match, so that a value needs a binary search and finds
// a ready set of rules.

// member is the set of rules that match one value of one dimension: those
// that do not look at the dimension, and those of the interval.
type member struct {
	any      *dense
	interval *sparse
}

func (m *member) summary(sw int) uint64 { return m.any.summary[sw] | m.interval.summary(sw) }
func (m *member) word(w int) uint64     { return m.any.words[w] | m.interval.word(w) }

// span is a run of values that a rule matches. It ends before end, or never
// if endless is set.
type span[K any] struct {
	start, end K
	endless    bool
	rule       int
}

// dimension holds the intervals: sets[i] belongs to the values from starts[i]
// up to starts[i+1]; below starts[0] there is no rule.
type dimension[K any] struct {
	starts []K
	sets   []sparse
	any    dense
}

// none is the interval of a value that no rule names.
var none sparse

// builder collects the spans of all rules.
type builder[K any] struct {
	spans []span[K]
	any   dense
	rules int
}

func (b *builder[K]) build(compare func(K, K) int) dimension[K] {
	type edge struct {
		at   K
		rule int
		step int // +1 where a span begins, -1 where it ends
	}
	edges := make([]edge, 0, 2*len(b.spans))
	for _, s := range b.spans {
		edges = append(edges, edge{s.start, s.rule, 1})
		if !s.endless {
			edges = append(edges, edge{s.end, s.rule, -1})
		}
	}
	slices.SortFunc(edges, func(x, y edge) int { return compare(x.at, y.at) })

	d := dimension[K]{any: b.any}
	// A rule may name overlapping prefixes, hence a count and not a bit.
	open := make([]int32, b.rules)
	live := newDense(b.rules)
	for i, e := range edges {
		open[e.rule] += int32(e.step)
		live.put(e.rule, open[e.rule] > 0)
		if i+1 < len(edges) && compare(edges[i+1].at, e.at) == 0 {
			continue
		}
		d.starts = append(d.starts, e.at)
		d.sets = append(d.sets, live.pack())
	}
	return d
}

// at returns the member for the interval with index i, which is -1 below the
// first one.
func (d *dimension[K]) at(i int) member {
	if i < 0 {
		return member{&d.any, &none}
	}
	return member{&d.any, &d.sets[i]}
}

type addresses struct{ dimension[netip.Addr] }

type addressBuilder struct{ builder[netip.Addr] }

func newAddresses(n int) *addressBuilder {
	return &addressBuilder{builder[netip.Addr]{any: newDense(n), rules: n}}
}

// firstIPv6 follows the last IPv4 address in the order of netip.Addr.Compare,
// which puts all of IPv4 before IPv6. So one row of intervals serves both
// families and ::/0 does not cover 0.0.0.0/0.
var firstIPv6 = netip.IPv6Unspecified()

func (b *addressBuilder) add(rule int, list []netip.Prefix) {
	if len(list) == 0 {
		b.any.put(rule, true)
	}
	for _, p := range list {
		s := span[netip.Addr]{start: p.Masked().Addr(), end: lastOf(p).Next(), rule: rule}
		if !s.end.IsValid() {
			s.end, s.endless = firstIPv6, p.Addr().Is6()
		}
		b.spans = append(b.spans, s)
	}
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (b *addressBuilder) build() addresses {
	return addresses{b.builder.build(netip.Addr.Compare)}
}

func (d *addresses) find(a netip.Addr) member {
	// Zones are left out: rules name networks, not interfaces.
	a = a.Unmap().WithZone("")
	i, exact := slices.BinarySearchFunc(d.starts, a, netip.Addr.Compare)
	if !exact {
		i--
	}
	return d.at(i)
}

// ports holds values in 32 bits so that a range that ends at 65535 has an end.
type ports struct{ dimension[uint32] }

type portBuilder struct{ builder[uint32] }

func newPorts(n int) *portBuilder {
	return &portBuilder{builder[uint32]{any: newDense(n), rules: n}}
}

func (b *portBuilder) add(rule int, list []PortRange) {
	if len(list) == 0 {
		b.any.put(rule, true)
	}
	for _, r := range list {
		if r.First <= r.Last {
			b.spans = append(b.spans, span[uint32]{start: uint32(r.First), end: uint32(r.Last) + 1, rule: rule})
		}
	}
}

func (b *portBuilder) build() ports { return ports{b.builder.build(cmp.Compare[uint32])} }

func (d *ports) find(port uint16) member {
	i, exact := slices.BinarySearch(d.starts, uint32(port))
	if !exact {
		i--
	}
	return d.at(i)
}
