package endpoint

// resetHeader holds the header of the RST that is due.
type resetHeader struct {
	seq, ack Seq
	flags    Flags
}

// resetFor prepares the RST that answers s, a segment for no connection
// (RFC 9293, 3.10.7.1).
func (e *Endpoint) resetFor(s *Segment) {
	if s.Flags.Has(ACK) {
		e.rst = resetHeader{seq: s.Ack, flags: RST}
	} else {
		e.rst = resetHeader{ack: s.End(), flags: RST | ACK}
	}
}

// Abort is the ABORT call (RFC 9293, 3.9.1.5): the connection ends at once,
// and a RST goes out if the peer knows of it.
func (e *Endpoint) Abort(now Time) {
	switch e.state {
	case Closed:
		return
	case Listen, SynSent, TimeWait:
		// Nobody waits for anything.
	case Closing, LastAck:
		if e.fin.sent && e.snd.una.To(e.snd.nxt) <= 1 {
			// Both sides have closed and only the ACK of our FIN is missing.
			break
		}
		// We depart from the RFC, which sends nothing, because octets that the
		// peer has not acknowledged will never come, and it must learn that.
		e.rst = resetHeader{seq: e.bareSeq(), ack: e.rcv.nxt, flags: RST | ACK}
		e.due |= dueRST
	case SynReceived:
		if e.inflight.empty() {
			// Nothing has been answered yet: refuse the SYN (RST,ACK).
			e.rst = resetHeader{ack: e.rcv.nxt, flags: RST | ACK}
			e.due |= dueRST
			break
		}
		fallthrough
	default:
		e.rst = resetHeader{seq: e.bareSeq(), ack: e.rcv.nxt, flags: RST | ACK}
		e.due |= dueRST
	}
	e.delete(0)
	e.in.release()
}
