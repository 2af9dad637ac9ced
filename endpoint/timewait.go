package endpoint

import "time"

// TimeWaitRecord is what TIME-WAIT needs of a connection: a small record instead of
// an endpoint, for there may be many (RFC 9293, 3.6.1; MUST-13). It behaves as
// the endpoint would.
type TimeWaitRecord struct {
	until  Time // when the 2 MSL are over
	length time.Duration
	limit  challengeLimit

	sndNxt, rcvNxt, edge Seq
	maxWnd               int32 // the largest window the peer has ever offered
	ts                   timestamps
	tsOffset             uint32
	dsack                Range
	window               uint16 // the field of our ACKs
	sack, due            bool
}

// TimeWaitRecord makes the record of an endpoint in TIME-WAIT. ok is false while
// there is something that the record could not keep: octets to be read, or an
// ACK that is due or held back.
func (e *Endpoint) TimeWaitRecord() (w TimeWaitRecord, ok bool) {
	if e.state != TimeWait || e.in.ready > 0 || e.due != 0 || e.ack.at != Never || e.tune != nil {
		return w, false
	}
	return TimeWaitRecord{
		until: e.closeAt, length: 2 * e.cfg.MSL, limit: e.limit,
		sndNxt: e.snd.nxt, rcvNxt: e.rcv.nxt, edge: e.rcv.edge,
		maxWnd: int32(min(e.snd.maxWnd, maxWindow16<<maxWindowScale)),
		ts:     e.ts, tsOffset: e.open.tsOffset,
		window: e.advance(e.rcv.scale), sack: e.sack,
	}, true
}

// NextTimeout is when TIME-WAIT ends.
func (w *TimeWaitRecord) NextTimeout() Time { return w.until }

// SndNxt is SND.NXT: the next connection on the same addresses and ports
// begins behind it.
func (w *TimeWaitRecord) SndNxt() Seq { return w.sndNxt }

// RcvNxt is RCV.NXT.
func (w *TimeWaitRecord) RcvNxt() Seq { return w.rcvNxt }

// Accepts tells whether a SYN may begin a new connection on the same addresses
// and ports, because it cannot be an old duplicate (RFC 9293, 3.6.1, MAY-2;
// by its timestamp: RFC 6191, section 2).
func (w *TimeWaitRecord) Accepts(s *Segment) bool {
	return acceptsSYN(s, w.rcvNxt, &w.ts)
}

// AcceptsSYN is TimeWaitRecord.Accepts for an endpoint in TIME-WAIT.
func (e *Endpoint) AcceptsSYN(s *Segment) bool {
	return e.state == TimeWait && acceptsSYN(s, e.rcv.nxt, &e.ts)
}

func acceptsSYN(s *Segment, rcvNxt Seq, ts *timestamps) bool {
	const mask = SYN | ACK | RST | FIN
	if s.Flags&mask != SYN || s.Options.Has&HasMalformed != 0 {
		return false
	}
	if ts.on && s.Options.Has&HasTimestamps != 0 {
		// SHLD-4: a newer timestamp is enough; with the same one the sequence
		// number decides, and an older one is that of an old duplicate.
		if d := int32(s.Options.TSVal - ts.recent); d != 0 {
			return d > 0
		}
	}
	return s.Seq.After(rcvNxt)
}

// HandleSegment does in TIME-WAIT what RFC 9293, 3.10.7.4 says. A RST is
// ignored (RFC 1337, 3, fix F1).
func (w *TimeWaitRecord) HandleSegment(now Time, s *Segment) Reason {
	if s.Options.Has&HasMalformed != 0 {
		return ReasonBadOptionLength
	}
	if w.ts.paws(now, s) {
		w.duplicateACK(now, s)
		return ReasonPAWS
	}
	old := s.End().AtMost(w.rcvNxt)
	switch {
	case !withinWindow(s, w.rcvNxt, w.edge):
		return w.handleUnacceptable(now, s, old)
	case s.Flags.Has(RST):
		return ReasonBadReset
	case s.Flags.Has(SYN):
		w.challenge(now)
		return ReasonUnexpectedSYN
	case !s.Flags.Has(ACK):
		return ReasonNoAck
	case s.Ack.After(w.sndNxt) || s.Ack.Before(w.sndNxt.Plus(-int(w.maxWnd))):
		w.challenge(now) // RFC 5961, 5.2
		return ReasonBadAck
	}
	w.ts.update(now, s)
	switch {
	case s.Flags.Has(FIN):
		w.restart(now)
		w.due = true
		return ReasonOldDuplicate
	case s.PayloadLen() > 0:
		// After the peer's FIN there should be no text.
		return ReasonAfterClose
	}
	return ReasonNone
}

func (w *TimeWaitRecord) handleUnacceptable(now Time, s *Segment, old bool) Reason {
	if s.Flags.Has(RST) {
		return ReasonBadReset
	}
	if s.Flags.Has(FIN) && s.End() == w.rcvNxt {
		// The peer has not got our last ACK: it is sent again and the 2 MSL
		// start anew (MUST-13).
		w.restart(now)
	}
	why := ReasonOutOfWindow
	if old {
		why = ReasonOldDuplicate
		if n := s.PayloadLen(); n > 0 && w.sack && w.dsack.Len() == 0 {
			w.dsack = Range{s.Seq, s.Seq.Plus(n)}
		}
	}
	w.duplicateACK(now, s)
	return why
}

func (w *TimeWaitRecord) restart(now Time) { w.until = now.Add(w.length) }

func (w *TimeWaitRecord) challenge(now Time) {
	if w.limit.allow(now) {
		w.due = true
	}
}

func (w *TimeWaitRecord) duplicateACK(now Time, s *Segment) {
	if s.PayloadLen() == 0 && !s.Flags.Has(FIN) {
		w.challenge(now)
		return
	}
	w.due = true
}

// PollSegment writes the ACK that is due into s and tells whether there is
// one.
func (w *TimeWaitRecord) PollSegment(now Time, s *Segment) bool {
	if !w.due {
		return false
	}
	w.due = false
	*s = Segment{Seq: w.sndNxt, Ack: w.rcvNxt, Flags: ACK, Window: w.window, Pieces: s.Pieces[:0]}
	if w.ts.on {
		w.ts.write(now, w.tsOffset, &s.Options)
	}
	if w.dsack.Len() > 0 {
		s.Options.SACK[0], s.Options.SACKBlocks = w.dsack, 1
		w.dsack = Range{}
	}
	return true
}
