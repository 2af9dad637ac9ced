package splice

import "tcpmitm/endpoint"

// maxSpares bounds what is kept of one kind.
const maxSpares = 64

// spares are things that the opening of a connection needs and its end does not.
// They are used again, for what is thrown away stays in memory until the collector
// comes, and with many connections being opened that is a good part of what they
// keep.
type spares[T any] struct{ list []*T }

// keep makes a copy of v that outlives it, until it is given back.
func (sp *spares[T]) keep(v T) *T {
	var p *T
	if n := len(sp.list); n > 0 {
		p, sp.list = sp.list[n-1], sp.list[:n-1]
	} else {
		p = new(T)
	}
	*p = v
	return p
}

// giveBack takes what nobody looks at any more; nil is nothing.
func (sp *spares[T]) giveBack(p *T) {
	if p != nil && len(sp.list) < maxSpares {
		sp.list = append(sp.list, p)
	}
}

// holdSYN copies a SYN, to be held while the server is asked. Its payload, if any,
// is not kept: the client sends it again.
func (s *Shard) holdSYN(seg *endpoint.Segment) *endpoint.Segment {
	return s.spareSYNs.keep(endpoint.Segment{
		Seq: seg.Seq, Flags: seg.Flags, ECN: seg.ECN, Window: seg.Window, Options: seg.Options,
	})
}
