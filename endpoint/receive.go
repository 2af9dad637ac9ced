package endpoint

// HandleSegment tells the endpoint that s arrived at now, the moment it was
// read from the kernel. The checksum is known to be good. It follows
// RFC 9293, 3.10.7 ("SEGMENT ARRIVES") in its order. The reason says why the
// segment, or the part of it that mattered, changed nothing.
func (e *Endpoint) HandleSegment(now Time, s *Segment) Reason {
	e.counters.SegmentsIn++
	if s.Options.Has&HasMalformed != 0 {
		// MUST-7 allows a reset; we depart from that, because then one forged
		// segment would end a connection.
		return ReasonBadOptionLength
	}
	switch e.state {
	case Closed:
		return e.handleInClosed(s)
	case Listen:
		return e.handleInListen(now, s)
	case SynSent:
		return e.handleInSynSent(now, s)
	}
	return e.handleSynchronizing(now, s)
}

// handleInClosed is RFC 9293, 3.10.7.1: whatever is not a RST gets one.
func (e *Endpoint) handleInClosed(s *Segment) Reason {
	if !s.Flags.Has(RST) && e.due&dueRST == 0 {
		e.resetFor(s)
		e.due |= dueRST
	}
	return ReasonAfterClose
}

// handleInListen is RFC 9293, 3.10.7.2.
func (e *Endpoint) handleInListen(now Time, s *Segment) Reason {
	switch {
	case s.Flags.Has(RST):
		return ReasonBadReset
	case s.Flags.Has(ACK):
		e.resetFor(s)
		e.due |= dueRST
		return ReasonBadAck
	case !s.Flags.Has(SYN):
		return ReasonNoFlow
	}
	e.learn(now, s)
	e.setState(SynReceived)
	e.snd.nxt = e.snd.iss
	e.ts.lastAckSent = e.rcv.nxt
	e.decideSYNACK(now)
	// Text on a SYN may be queued until ESTABLISHED or, as here, left to be
	// sent again: it then meets the peer's own retransmission.
	return ReasonNone
}

// handleInSynSent is RFC 9293, 3.10.7.3.
func (e *Endpoint) handleInSynSent(now Time, s *Segment) Reason {
	// First, check the ACK bit.
	acceptable := s.Flags.Has(ACK) && s.Ack == e.snd.nxt && e.snd.nxt != e.snd.iss
	if s.Flags.Has(ACK) && !acceptable {
		if s.Flags.Has(RST) {
			return ReasonBadReset
		}
		e.resetFor(s)
		e.due |= dueRST
		if !s.Flags.Has(SYN) && !e.inflight.empty() && e.limit.allow(now) {
			// The peer still has an old connection of ours, most likely in
			// TIME-WAIT. The RST ends that; the SYN need not wait for its
			// timeout to find it gone.
			e.due |= dueSYN
		}
		return ReasonBadAck
	}
	// Second, check the RST bit.
	if s.Flags.Has(RST) {
		if !acceptable {
			return ReasonBadReset
		}
		e.delete(EventRefused)
		return ReasonNone
	}
	// Third, the security, is not there. Fourth, check the SYN bit.
	if !s.Flags.Has(SYN) {
		return ReasonNoFlow
	}
	e.learn(now, s)
	if !acceptable {
		// A simultaneous open (MUST-10): our SYN goes again, with an ACK.
		e.setState(SynReceived)
		e.ts.lastAckSent = e.rcv.nxt
		e.decideSYNACK(now)
		return ReasonNone
	}
	syn, lost := e.inflight.live()[0], e.rtt.backoff > 0
	e.sampleRTT(now, s, syn.sent, syn.resent)
	e.inflight.ackTo(s.Ack)
	e.snd.una = s.Ack
	e.due &^= dueSYN
	e.due |= dueACK
	e.handshakeDone(now, lost)
	e.armSendTimer(now)
	// Text and FIN that came with it are handled as in the other states
	// (sixth step and on).
	if s.PayloadLen() > 0 || s.Flags.Has(FIN) {
		e.handleText(now, s, s.Seq+1)
	}
	return ReasonNone
}

// handleSynchronizing is RFC 9293, 3.10.7.4, for SYN-RECEIVED and all
// synchronized states.
func (e *Endpoint) handleSynchronizing(now Time, s *Segment) Reason {
	// First, check the sequence number, after the timestamp (RFC 7323, 5.3).
	if e.ts.paws(now, s) {
		e.duplicateACK(now, s)
		return ReasonPAWS
	}
	// We depart from RFC 7323, 3.2, by which a segment without the option, once
	// it was negotiated, SHOULD be dropped in silence: there are kernels whose
	// last ACK of the handshake lacks it, and middleboxes that strip it, and a
	// connection with them would hang. The sequence check remains; only PAWS
	// has nothing to say.
	if !e.acceptable(s) {
		return e.handleUnacceptable(now, s)
	}
	// Second, check the RST bit.
	if s.Flags.Has(RST) {
		return e.handleReset(now, s)
	}
	// Fourth, check the SYN bit.
	if s.Flags.Has(SYN) {
		return e.handleUnexpectedSYN(now, s)
	}
	e.heard(now)
	// Fifth, check the ACK field.
	if !s.Flags.Has(ACK) {
		return ReasonNoAck
	}
	if why := e.handleACK(now, s); why != ReasonNone || e.state == Closed {
		return why
	}
	e.ts.update(now, s)
	if s.Flags.Has(URG) {
		e.handleUrgent(s)
	}
	// Seventh and eighth, the text and the FIN.
	return e.handleText(now, s, s.Seq)
}

// acceptable is the test of RFC 9293, 3.10.7.4, table 6, with the edge of the
// window that the peer was really told.
func (e *Endpoint) acceptable(s *Segment) bool { return withinWindow(s, e.rcv.nxt, e.rcv.edge) }

func withinWindow(s *Segment, nxt, edge Seq) bool {
	n := s.Len()
	wnd := nxt.To(edge)
	if n == 0 {
		// Linux and the BSDs take an ACK at the right edge as well, where
		// SND.NXT of a sender is that has filled the window. We follow the
		// RFC: such a segment lies outside, and draws an ACK.
		return s.Seq == nxt || s.Seq.After(nxt) && s.Seq.Before(edge)
	}
	last := s.End() - 1
	if wnd <= 0 {
		// Below 0 is what a FIN beyond a shut window leaves behind.

		// A window probe that starts at RCV.NXT: its text does not fit, but
		// its ACK, RST and URG count (MUST-66), and so does a bare FIN, which
		// needs no room.
		return s.Seq == nxt
	}
	return s.Seq.AtLeast(nxt) && s.Seq.Before(edge) ||
		last.AtLeast(nxt) && last.Before(edge) ||
		// One that covers the whole window is not in the RFC's table, but was
		// merged on its way from some that are.
		s.Seq.Before(nxt) && last.AtLeast(edge)
}

// handleUnacceptable answers a segment outside of the window with an ACK,
// unless it is a RST (RFC 9293, 3.10.7.4, first step). Nothing else of it
// counts: the BSDs go on to its ACK field, which would let those acknowledge
// our octets who know nothing of the peer's sequence numbers.
func (e *Endpoint) handleUnacceptable(now Time, s *Segment) Reason {
	if s.Flags.Has(RST) {
		return ReasonBadReset
	}
	if e.state == TimeWait && s.Flags.Has(FIN) && s.End() == e.rcv.nxt {
		// The peer has not got our last ACK: it is sent again and the 2 MSL
		// start anew (MUST-13).
		e.startTimeWait(now)
	}
	if e.repeatsSYN(s) {
		return e.handleRepeatedSYN(now, s)
	}
	why := ReasonOutOfWindow
	if s.End().AtMost(e.rcv.nxt) {
		why = ReasonOldDuplicate
		if n := s.PayloadLen(); n > 0 && e.sack && e.in.dsack.Len() == 0 {
			e.in.dsack = Range{s.Seq, s.Seq.Plus(n)}
		}
	}
	e.duplicateACK(now, s)
	e.heard(now)
	return why
}

// repeatsSYN tells that s is, in SYN-RECEIVED, the SYN that brought us there
// once more, or the SYN-ACK that completes a simultaneous open.
func (e *Endpoint) repeatsSYN(s *Segment) bool {
	return e.state == SynReceived && s.Flags.Has(SYN) && s.Seq == e.rcv.irs
}

func (e *Endpoint) handleRepeatedSYN(now Time, s *Segment) Reason {
	switch {
	case s.Flags.Has(ACK) && s.Ack == e.snd.nxt && !e.passive:
		// In a simultaneous open the SYN-ACK answers our SYN (RFC 9293, 3.5,
		// figure 8). The window of a SYN is never scaled (RFC 7323, 2.2);
		// that of the ACK which we make of it is.
		answer := *s
		answer.Flags &^= SYN
		answer.Seq++
		answer.Window >>= e.snd.scale
		return e.handleSynchronizing(now, &answer)
	case s.Flags.Has(ACK):
		e.duplicateACK(now, s)
	case !e.holds(HeldSYNACK):
		// Our SYN-ACK was lost, or is being held. We depart from the RFC,
		// which sends a bare ACK, because a peer in SYN-SENT can do nothing
		// with that.
		e.due |= dueSYN
	}
	return ReasonOldDuplicate
}

// handleReset judges a RST in the window (RFC 9293, 3.10.7.4, second step,
// with RFC 5961, 3.2).
func (e *Endpoint) handleReset(now Time, s *Segment) Reason {
	if e.state == TimeWait {
		// We depart from the RFC because a RST that cuts TIME-WAIT short lets
		// old duplicates into the next connection (RFC 1337, 3, fix F1).
		return ReasonBadReset
	}
	if s.Seq != e.rcv.nxt {
		e.challenge(now)
		return ReasonBadReset
	}
	if e.state == SynReceived && !e.passive {
		e.delete(EventRefused)
		return ReasonNone
	}
	e.delete(EventReset)
	return ReasonNone
}

// handleUnexpectedSYN answers a SYN within a connection (RFC 9293, 3.10.7.4,
// fourth step, with RFC 5961, 4.2).
func (e *Endpoint) handleUnexpectedSYN(now Time, s *Segment) Reason {
	if e.repeatsSYN(s) {
		// It bears text, and reaches into the window for that alone.
		return e.handleRepeatedSYN(now, s)
	}
	if e.state == SynReceived && e.passive {
		// Back to LISTEN, in silence (Linux sends a RST). A listener of ours
		// is no endpoint: what hears the next SYN is our user.
		e.delete(EventReset)
		return ReasonUnexpectedSYN
	}
	e.challenge(now)
	return ReasonUnexpectedSYN
}

// handleText takes the octets and the FIN of an acceptable segment; seq is
// the number of its first octet.
func (e *Endpoint) handleText(now Time, s *Segment, seq Seq) Reason {
	data := s.Payload
	fin := s.Flags.Has(FIN)
	switch e.state {
	case Established, FinWait1, FinWait2:
	default:
		// After the peer's FIN there should be no text. In TIME-WAIT its FIN
		// again restarts the 2 MSL.
		if e.state == TimeWait && fin {
			e.startTimeWait(now)
		}
		if fin {
			e.ackNow(now)
			return ReasonOldDuplicate
		}
		if len(data) > 0 {
			// The text is ignored (RFC 9293, 3.10.7.4, seventh step).
			return ReasonAfterClose
		}
		return ReasonNone
	}
	if len(data) == 0 && !fin {
		return ReasonNone
	}
	e.noteSegmentSize(len(data))
	if e.noRead && len(data) > 0 && seq.Plus(len(data)).After(e.rcv.nxt) {
		// Nobody will read it: the peer must know (SHLD-3).
		e.Abort(now)
		return ReasonAfterClose
	}
	// Cut what lies before the window and beyond it.
	if old := seq.To(e.rcv.nxt); old > 0 {
		if e.sack && e.in.dsack.Len() == 0 && len(data) > 0 {
			e.in.dsack = Range{seq, seq.Plus(min(old, len(data)))}
		}
		if old > len(data) {
			old, fin = len(data), false
		}
		data = data[old:]
		seq = seq.Plus(old)
	}
	if over := e.in.haveFIN && seq.Plus(len(data)).After(e.in.fin); over {
		// Nothing can follow a FIN.
		data, fin = data[:max(seq.To(e.in.fin), 0)], false
	}
	// The header rounds the window up; what that promised too much is not
	// kept, or a peer of tiny segments could fill us without end.
	room := seq.To(minSeq(e.rcv.edge, e.rcv.nxt.Plus(e.cfg.ReceiveBuffer-e.in.ready+1<<e.rcv.scale)))
	if len(data) > room {
		data, fin = data[:max(room, 0)], false
		if seq == e.rcv.nxt {
			// Else it is out of order, and draws its ACK for that.
			e.ackNow(now)
		}
	}
	if fin && e.in.beyond(seq.Plus(len(data))) {
		// The peer contradicts itself: octets from beyond this FIN are here.
		fin = false
	}
	if len(data) > 0 && e.full() && !(seq == e.rcv.nxt && e.in.ready == 0) {
		e.ackNow(now)
		return ReasonNoMemory
	}
	e.ecnArrived(now, s)
	if seq != e.rcv.nxt {
		return e.handleOutOfOrder(now, s, seq, data, fin)
	}
	if len(data) == 0 && !fin {
		// Nothing fits: the window is shut, and the sender is told so.
		e.ackNow(now)
		return ReasonOutOfWindow
	}
	e.deliver(now, s, data, fin)
	return ReasonNone
}

// deliver takes in-order octets, and what they make in order.
func (e *Endpoint) deliver(now Time, s *Segment, data []byte, fin bool) {
	had := e.rcv.nxt
	if len(data) > 0 {
		e.in.add(e.cfg.Pool, data, s.Buffer)
		e.rcv.nxt = e.rcv.nxt.Plus(len(data))
		// What is acknowledged now is no duplicate any more.
		e.ack.duplicates = 0
		filled := len(e.in.ooo) > 0
		if filled {
			e.rcv.nxt = e.in.drain(e.rcv.nxt)
		}
		e.counters.OctetsIn += uint64(had.To(e.rcv.nxt))
		e.events |= EventReadable
		e.acknowledge(now, had.To(e.rcv.nxt), filled)
	}
	if fin && !e.in.haveFIN {
		e.in.haveFIN, e.in.fin = true, s.End()-1
	}
	if e.in.haveFIN && e.in.fin == e.rcv.nxt {
		e.handleFIN(now)
	}
}

// handleOutOfOrder keeps octets that came before their predecessors (SHLD-31)
// and says so at once (MAY-13; RFC 5681, 4.2).
func (e *Endpoint) handleOutOfOrder(now Time, s *Segment, seq Seq, data []byte, fin bool) Reason {
	if end := seq.Plus(len(data)); fin && !e.in.haveFIN {
		e.in.haveFIN, e.in.fin = true, end
	}
	if len(data) > 0 {
		if !e.in.insert(e.cfg.Pool, seq, data, s.Buffer) && !e.sack {
			e.in.dsack = Range{}
		}
		e.in.noteRecent(seq)
	}
	e.duplicateACKs(now)
	return ReasonNone
}

// full tells that the buffers' memory is used up.
func (e *Endpoint) full() bool { return e.cfg.Pool != nil && e.cfg.Pool.Full() }

// noteSegmentSize estimates the size of the peer's full segments, for the
// rule of every second one (SHLD-19). A super-segment counts as full ones.
func (e *Endpoint) noteSegmentSize(n int) {
	if n > e.rcv.mss {
		e.rcv.mss = min(n, e.announcedMSS())
	}
}

// handleFIN takes the peer's FIN, all octets before it being here (RFC 9293,
// 3.10.7.4, eighth step).
func (e *Endpoint) handleFIN(now Time) {
	if e.deferFIN() {
		return
	}
	// A FIN takes a sequence number but no room, so the window stays as wide
	// as it was told.
	e.rcv.nxt++
	e.rcv.edge++
	e.events |= EventPeerClosed | EventReadable
	e.ackNow(now)
	switch e.state {
	case Established:
		e.setState(CloseWait)
	case FinWait1:
		// If our FIN had been acknowledged, the state would be FIN-WAIT-2.
		e.setState(Closing)
	case FinWait2:
		e.enterTimeWait(now)
	}
}

func (e *Endpoint) enterTimeWait(now Time) {
	e.setState(TimeWait)
	e.timer.disarm()
	e.startTimeWait(now)
}

// startTimeWait starts the 2 MSL.
func (e *Endpoint) startTimeWait(now Time) {
	e.closeAt = now.Add(2 * e.cfg.MSL)
}
