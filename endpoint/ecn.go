package endpoint

// ecnState is explicit congestion notification (RFC 3168; SHLD-8): routers
// mark packets instead of dropping them, the receiver echoes the mark, and the
// sender reduces its window as after a loss, without one.
type ecnState struct {
	on    bool
	echo  bool // CE has arrived, and the peer's CWR not yet
	cwr   bool // the peer is to be told that we have reduced
	point Seq  // what was sent up to here is answered by the last reduction
}

// ecnSetup sets the bits of our SYN or SYN-ACK. A SYN that is sent again
// asks for nothing: something on the path may drop the bits' bearers
// (RFC 3168, 6.1.1.1).
func (e *Endpoint) ecnSetup(first bool) Flags {
	switch {
	case e.state == SynSent && e.open.ecn && first:
		return ECE | CWR
	case e.state == SynReceived && e.ecn.on:
		return ECE
	}
	return 0
}

// ecnLearn reads the bits of the peer's SYN or SYN-ACK (RFC 3168, 6.1.1). A
// SYN asks with both; a SYN-ACK agrees with ECE alone, for one with both is a
// reflection of the SYN by somebody who does not know what they mean.
func (e *Endpoint) ecnLearn(s *Segment) {
	bits := s.Flags & (ECE | CWR)
	if s.Flags.Has(ACK) {
		e.ecn.on = e.open.ecn && bits == ECE
	} else {
		e.ecn.on = e.open.ecn && bits == ECE|CWR
	}
	e.ecn.point = e.snd.iss
}

// ecnArrived takes the mark of a segment whose octets are in the window; on
// others it is ignored (RFC 3168, 6.1.5), and so is one on an ACK without
// octets, which no sender makes markable.
func (e *Endpoint) ecnArrived(now Time, s *Segment) {
	if !e.ecn.on || s.PayloadLen() == 0 {
		return
	}
	if s.Flags.Has(CWR) {
		e.ecn.echo = false
	}
	if s.ECN == CE {
		if !e.ecn.echo {
			// The sender should know within this round trip.
			e.ackNow(now)
		}
		e.ecn.echo = true
	}
}

// ecnEchoed reacts to an ACK with ECE, at most once for a window of data
// (RFC 3168, 6.1.2), and tells whether the ACK bears one: then cwnd does not
// grow. outstanding is what was before the ACK: the last one of a flight
// counts, too, and the peer goes on until it is told that we have reduced.
func (e *Endpoint) ecnEchoed(now Time, s *Segment, outstanding int) bool {
	if !e.ecn.on || !s.Flags.Has(ECE) || s.Flags.Has(SYN) {
		return false
	}
	if !e.snd.una.After(e.ecn.point) || outstanding == 0 {
		return true
	}
	e.ecn.point, e.ecn.cwr = e.snd.nxt, true
	if !e.recovery.active && !e.recovery.timeout {
		// In recovery the window has been reduced already.
		flight := e.snd.una.To(e.snd.nxt)
		if flight == 0 {
			flight = outstanding
		}
		e.cong.onLoss(now, flight)
		e.cong.cwnd = min(e.cong.cwnd, max(e.cong.ssthresh, e.snd.mss))
	}
	return true
}

// ecnMark makes a segment of new octets markable, and bears the news of a
// reduction. Retransmissions and probes of a shut window are not (RFC 3168,
// 6.1.5 and 6.1.6): if they are marked, nobody could tell what for.
func (e *Endpoint) ecnMark(s *Segment) {
	if !e.ecn.on || e.blocked() {
		return
	}
	s.ECN = ECT0
	if e.ecn.cwr {
		e.ecn.cwr = false
		s.Flags |= CWR
	}
}
