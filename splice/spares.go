package splice

import "tcpmitm/endpoint"

// maxSpares bounds what is kept of each kind.
const maxSpares = 64

// spares are what the opening of a connection needs and its end does not: the
// client's SYN, held while the server is asked, and the options that one leg has
// from the other. They are used again, for what is thrown away stays in memory
// until the collector comes, and with many connections being opened that is as
// much as a tenth of what they keep.
type spares struct {
	syns    []*endpoint.Segment
	options []*endpoint.Options
}

// hold makes a SYN to be held of one that has come. Its payload, if any, is not
// kept: the client sends it again.
func (sp *spares) hold(seg *endpoint.Segment) *endpoint.Segment {
	var syn *endpoint.Segment
	if n := len(sp.syns); n > 0 {
		syn, sp.syns = sp.syns[n-1], sp.syns[:n-1]
	} else {
		syn = new(endpoint.Segment)
	}
	*syn = endpoint.Segment{Seq: seg.Seq, Flags: seg.Flags, ECN: seg.ECN, Window: seg.Window, Options: seg.Options}
	return syn
}

// letGo takes back a SYN that nobody looks at any more.
func (sp *spares) letGo(syn *endpoint.Segment) {
	if len(sp.syns) < maxSpares {
		sp.syns = append(sp.syns, syn)
	}
}

// mirror makes a copy of options.
func (sp *spares) mirror(o *endpoint.Options) *endpoint.Options {
	var m *endpoint.Options
	if n := len(sp.options); n > 0 {
		m, sp.options = sp.options[n-1], sp.options[:n-1]
	} else {
		m = new(endpoint.Options)
	}
	*m = *o
	return m
}

// forget takes the copy back; nil is none.
func (sp *spares) forget(m *endpoint.Options) {
	if m != nil && len(sp.options) < maxSpares {
		sp.options = append(sp.options, m)
	}
}
