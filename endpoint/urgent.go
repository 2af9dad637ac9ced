package endpoint

// urgentState is the urgent mechanism (RFC 9293, 3.8.5; MUST-30): a pointer to
// the octet that follows urgent data (MUST-62; RFC 6093, section 4). The data
// itself stays in the stream (RFC 6093, section 6). Nothing of ours is ever
// urgent (SHLD-13): what one peer calls so is passed on to the other.
type urgentState struct {
	sndUp, rcvUp Seq  // SND.UP and RCV.UP, while
	snd, rcv     bool // these are set
}

// handleUrgent is the sixth step of RFC 9293, 3.10.7.4. It counts whatever the
// receive window is (MUST-66).
func (e *Endpoint) handleUrgent(s *Segment) {
	u := &e.urgent
	switch e.state {
	case Established, FinWait1, FinWait2:
	default:
		return
	}
	up := s.Seq.Plus(int(s.Urgent))
	if u.rcv && !up.After(u.rcvUp) || !up.After(e.consumed()) {
		return
	}
	u.rcv, u.rcvUp = true, up
	e.events |= EventUrgent // MUST-32: it arrived, or advanced
}

// consumed is the sequence number of the first octet that the user has not
// read.
func (e *Endpoint) consumed() Seq {
	next := e.rcv.nxt
	if e.in.haveFIN && next.After(e.in.fin) {
		next = e.in.fin
	}
	return next.Plus(-e.in.ready)
}

// Urgent tells how many octets, from the first unread one on, the user has to
// read to have all urgent data that the peer has announced (MUST-33); they
// need not have arrived yet (MUST-31). ok is false if there is none.
func (e *Endpoint) Urgent() (octets int, ok bool) {
	if !e.urgent.rcv {
		return 0, false
	}
	return e.consumed().To(e.urgent.rcvUp), true
}

// urgentRead forgets the pointer once the user has read past it.
func (e *Endpoint) urgentRead() {
	if e.urgent.rcv && e.consumed().AtLeast(e.urgent.rcvUp) {
		e.urgent.rcv = false
	}
}

// MarkUrgent says that urgent data ends the given number of octets after what
// was written so far: the URGENT flag of the SEND call (RFC 9293, 3.9.1.2),
// for octets that may still be written. The peer is told at once, even if its
// window is shut.
func (e *Endpoint) MarkUrgent(now Time, octets int) {
	if e.state == Closed || e.state == TimeWait {
		return
	}
	up := e.out.end.Plus(max(octets, 0))
	if !up.After(e.snd.una) || e.urgent.snd && !up.After(e.urgent.sndUp) {
		return
	}
	e.urgent.snd, e.urgent.sndUp = true, up
	if e.synchronized() {
		e.due |= dueACK
	}
}

// urgentMark sets the pointer of a segment that leaves. One that cannot be
// expressed yet stands at the most that can.
func (e *Endpoint) urgentMark(s *Segment) {
	if e.urgent.snd && s.Seq.Before(e.urgent.sndUp) {
		s.Flags |= URG
		s.Urgent = uint16(min(s.Seq.To(e.urgent.sndUp), 65535))
	}
}

// urgentAcknowledged ends urgent mode when the peer has all of it.
func (e *Endpoint) urgentAcknowledged() {
	if e.urgent.snd && e.snd.una.AtLeast(e.urgent.sndUp) {
		e.urgent.snd = false
	}
}
