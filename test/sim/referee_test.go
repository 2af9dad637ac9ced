package sim

import (
	"tcpmitm/endpoint"
)

// referee watches one side of a connection from outside: what reached it and
// what it said. It shares no code with the endpoint that it watches.
type referee struct {
	w    *world
	name string

	irs, iss         endpoint.Seq
	knowsIRS, knows  bool
	received         endpoint.Seq // one past the last octet that reached it
	acked            endpoint.Seq // the highest ACK it has sent
	hasAcked         bool
	edge             endpoint.Seq // right edge of the window it has offered
	hasEdge          bool
	unit             uint8        // the scale of its windows, once one was scaled
	sent             endpoint.Seq // one past the last octet it has sent
	peerEdge         endpoint.Seq // right edge of the window it was offered
	hasPeerEdge      bool
	finAt            endpoint.Seq // where its FIN is
	hasFIN           bool
	state            endpoint.State
	shrinks, forgets bool // a fault makes it take windows back, or acknowledge late
}

// nearby is how far from what is expected a segment may lie to be of this
// connection; a blind attacker's lie further away.
const nearby = 1 << 28

func near(a, b endpoint.Seq) bool { d := a.To(b); return d < nearby && d > -nearby }

// in tells of a segment that reaches it; scale is the shift of its window.
func (r *referee) in(seg *endpoint.Segment, scale uint8) {
	if seg.Flags.Has(endpoint.RST) {
		return
	}
	end := seg.End()
	switch {
	case seg.Flags.Has(endpoint.SYN) && (!r.knowsIRS || r.state <= endpoint.SynSent):
		r.irs, r.knowsIRS, r.received = seg.Seq, true, end
		r.hasPeerEdge = false
	case r.knowsIRS && near(end, r.received) && end.After(r.received):
		r.received = end
	}
	if !r.knowsIRS || !seg.Flags.Has(endpoint.ACK) || !near(end, r.received) {
		return
	}
	if r.knows && !near(seg.Ack, r.sent) {
		return // a straggler of an earlier connection
	}
	if seg.Flags.Has(endpoint.SYN) {
		scale = 0 // RFC 7323, 2.2
	}
	edge := seg.Ack.Plus(int(seg.Window) << scale)
	if !r.hasPeerEdge || edge.After(r.peerEdge) && near(edge, r.peerEdge) {
		r.peerEdge, r.hasPeerEdge = edge, true
	}
}

// out tells of a segment that it sends; scale is the shift of its window.
func (r *referee) out(seg *endpoint.Segment, scale uint8) {
	if seg.Flags.Has(endpoint.RST) {
		return
	}
	end := seg.End()
	if !r.knows || seg.Flags.Has(endpoint.SYN) {
		r.iss, r.knows = seg.Seq, true
		if !near(end, r.sent) || end.After(r.sent) {
			r.sent = end
		}
	}
	if end.After(r.sent) {
		r.sent = end
	}
	r.wantFIN(seg, end)
	if seg.PayloadLen() > 0 && r.hasPeerEdge && end.After(r.peerEdge.Plus(1)) {
		// One octet beyond is a window probe, or a FIN.
		r.w.fail("%s sends up to %d, %d octets beyond the window", r.name, end, r.peerEdge.To(end))
	}
	if !seg.Flags.Has(endpoint.ACK) {
		return
	}
	switch {
	case !r.knowsIRS:
		r.w.fail("%s acknowledges %d and has received nothing", r.name, seg.Ack)
	case seg.Ack.After(r.received):
		r.w.fail("%s acknowledges %d, %d octets beyond what it has received", r.name, seg.Ack, r.received.To(seg.Ack))
	case r.hasAcked && seg.Ack.Before(r.acked) && !r.forgets:
		r.w.fail("%s acknowledges %d after %d", r.name, seg.Ack, r.acked)
	}
	r.acked, r.hasAcked = seg.Ack, true
	if seg.Flags.Has(endpoint.SYN) {
		scale = 0
	}
	edge := seg.Ack.Plus(int(seg.Window) << scale)
	full := seg.Flags.Has(endpoint.SYN) && seg.Window == 0xffff
	r.unit = max(r.unit, scale)
	if left := edge.To(r.edge); r.hasEdge && left >= 1<<r.unit && !full && !r.shrinks {
		// Less than one unit of the scale is what the header cannot say
		// (RFC 7323, 2.4); and a SYN-ACK that is sent again, without scale,
		// may be unable to say all of it.
		r.w.fail("%s moves the right edge of its window left by %d octets, with a scale of %d: %v seq %d ack %d win %d", r.name, left, scale, seg.Flags, seg.Seq, seg.Ack, seg.Window)
	}
	if !r.hasEdge || edge.After(r.edge) {
		r.edge, r.hasEdge = edge, true
	}
}

// wantFIN checks that a FIN stays where it is, and that nothing follows it.
func (r *referee) wantFIN(seg *endpoint.Segment, end endpoint.Seq) {
	switch {
	case seg.Flags.Has(endpoint.FIN) && r.hasFIN && end != r.finAt:
		r.w.fail("%s sends its FIN at %d and had it at %d", r.name, end-1, r.finAt-1)
	case seg.Flags.Has(endpoint.FIN):
		r.finAt, r.hasFIN = end, true
	case r.hasFIN && end.After(r.finAt):
		r.w.fail("%s sends up to %d, its FIN was at %d", r.name, end, r.finAt-1)
	}
}

// arrows are those of RFC 9293, figure 5; any state may be followed by CLOSED.
var arrows = map[endpoint.State][]endpoint.State{
	endpoint.Closed:      {endpoint.Listen, endpoint.SynSent},
	endpoint.Listen:      {endpoint.SynReceived, endpoint.SynSent},
	endpoint.SynSent:     {endpoint.SynReceived, endpoint.Established},
	endpoint.SynReceived: {endpoint.Established, endpoint.FinWait1},
	endpoint.Established: {endpoint.FinWait1, endpoint.CloseWait},
	endpoint.FinWait1:    {endpoint.FinWait2, endpoint.Closing, endpoint.TimeWait},
	endpoint.FinWait2:    {endpoint.TimeWait},
	endpoint.CloseWait:   {endpoint.LastAck},
	endpoint.Closing:     {endpoint.TimeWait},
}

// maxArrows is how many arrows one event may follow: an ACK with text and FIN
// ends the handshake and begins the closing, and a FIN-WAIT lies between.
const maxArrows = 4

// becomes tells of the state after an event.
func (r *referee) becomes(s endpoint.State) {
	if s == r.state {
		return
	}
	if s != endpoint.Closed && !leads(r.state, s, maxArrows) {
		r.w.fail("%s goes from %v to %v", r.name, r.state, s)
	}
	r.state = s
}

func leads(from, to endpoint.State, arrowsLeft int) bool {
	if arrowsLeft == 0 || from == endpoint.Closed {
		return false
	}
	for _, s := range arrows[from] {
		if s == to || leads(s, to, arrowsLeft-1) {
			return true
		}
	}
	return false
}
