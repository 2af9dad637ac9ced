package endpoint

// smallBuffer is the receive buffer that remains when memory is short.
const smallBuffer = 64 << 10

// room is the number of octets beyond RCV.NXT that the buffer has place for.
func (e *Endpoint) room() int {
	limit := e.cfg.ReceiveBuffer
	if p := e.cfg.Pool; p != nil && p.limit > 0 && p.used() > p.limit/4*3 {
		limit = min(limit, smallBuffer)
	}
	return max(limit-e.in.ready, 0)
}

// advance moves the right edge of the receive window as far as the buffer
// allows, never left (SHLD-14), and only by a worthwhile step (receiver's
// silly window avoidance, MUST-39: RFC 9293, 3.8.6.2.2). It returns the field
// to put in a header that is scaled by shift.
func (e *Endpoint) advance(shift uint8) uint16 {
	if e.tune != nil && e.tune.Limited {
		return e.limitedWindow(shift)
	}
	free := e.room()
	now := max(e.rcv.nxt.To(e.rcv.edge), 0)
	if free-now >= min(e.cfg.ReceiveBuffer/2, e.announcedMSS()) || e.rcv.nxt == e.rcv.irs+1 {
		// Before the first octet the window is the one to begin with: what the
		// SYN offered less is no step that a reader made.
		now = max(now, free)
	}
	// What the header cannot express is rounded up, for rounding down would
	// move the edge left.
	field := (now + 1<<shift - 1) >> shift
	if field > 0 && field<<shift > e.cfg.ReceiveBuffer-e.in.ready+1<<shift {
		// With tiny segments the rounding would go on for ever, and offer what
		// is not kept. A sender that is told 0 instead probes, and waits for
		// as long as it takes.
		field--
	}
	if field > maxWindow16 {
		field = maxWindow16
	}
	if edge := e.rcv.nxt.Plus(field << shift); edge.After(e.rcv.edge) {
		e.rcv.edge = edge
	}
	return uint16(field)
}

// windowUpdate owes an ACK when the user has read so much that a sender in
// want of window should know.
func (e *Endpoint) windowUpdate(now Time) {
	if e.state != Established && e.state != FinWait1 && e.state != FinWait2 {
		return
	}
	// Without scaling the header can tell less than the buffer takes.
	most := min(e.cfg.ReceiveBuffer, maxWindow16<<e.rcv.scale)
	told := max(e.rcv.nxt.To(e.rcv.edge), 0)
	gain := e.windowLimit(min(e.room(), most)) - told
	step := max(2*e.announcedMSS(), most/8)
	if told < 2*e.announcedMSS() {
		step = min(most/2, e.announcedMSS())
	}
	if e.counters.OctetsIn < uint64(told/2) {
		// The peer has not sent half of what it may send: it is in no want of
		// window, and the next ACK will do. A short exchange is spared a
		// segment on each leg.
		return
	}
	if gain >= step && told < most/2 {
		e.ack.update = e.due&dueACK == 0
		e.tellWindow(now)
	}
}
