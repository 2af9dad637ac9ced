package endpoint

// maxResent bounds the account of what was sent again: an episode that needs
// more runs of octets is not undone by D-SACK.
const maxResent = 128

// undoState is what it takes to go back when a reduction turns out to have
// been for nothing. It exists from a reduction until that is known, or until a
// window of data later.
type undoState struct {
	cwnd     int
	ssthresh int
	sent     Time // when the first retransmission left (RetransmitTS of RFC 3522); Never before
	// resent holds the runs of octets that were sent again and that no D-SACK
	// has reported yet.
	resent  []Range
	any     bool // something was sent again
	unknown bool // the account is not complete
}

// rememberForUndo is called before a reduction. One that follows from another
// that still goes on is undone with it.
func (e *Endpoint) rememberForUndo(within bool) {
	u := e.recovery.undo
	cwnd, ssthresh := e.cong.cwnd, e.cong.ssthresh
	if u == nil {
		u = &undoState{}
		e.recovery.undo = u
	} else if within {
		cwnd, ssthresh = u.cwnd, u.ssthresh
	}
	*u = undoState{cwnd: cwnd, ssthresh: ssthresh, sent: Never, resent: u.resent[:0]}
}

// note enters a retransmission into the account.
func (u *undoState) note(now Time, r Range) {
	if u == nil {
		return
	}
	if u.sent == Never {
		u.sent = now
	}
	u.any = true
	n := len(u.resent)
	switch {
	case n > 0 && u.resent[n-1].End == r.Start:
		u.resent[n-1].End = r.End
	case n < maxResent:
		u.resent = append(u.resent, r)
	default:
		u.unknown = true
	}
}

// duplicate strikes a duplicate that the peer reports off the account and
// tells whether all that was sent again has been reported. Only what was
// really sent again counts: other duplicates are the network's work (RFC 3708,
// section 3).
func (u *undoState) duplicate(d Range) bool {
	if u == nil {
		return false
	}
	for i, r := range u.resent {
		if d.Start.Before(r.Start) || d.End.After(r.End) {
			continue
		}
		front, back := Range{r.Start, d.Start}, Range{d.End, r.End}
		switch {
		case front.Len() > 0 && back.Len() > 0:
			if len(u.resent) >= maxResent {
				u.unknown = true
				return false
			}
			u.resent[i] = front
			u.resent = append(u.resent, back)
		case front.Len() > 0:
			u.resent[i] = front
		case back.Len() > 0:
			u.resent[i] = back
		default:
			u.resent = append(u.resent[:i], u.resent[i+1:]...)
		}
		return u.any && !u.unknown && len(u.resent) == 0
	}
	return false
}

// duplicateReported takes a D-SACK; when every retransmission has drawn one,
// none was needed (RFC 2883; RFC 3708). The reports may come after recovery
// has ended, for as long as a window of data takes.
func (e *Endpoint) duplicateReported(d Range) {
	u := e.recovery.undo
	if !u.duplicate(d) {
		return
	}
	if e.snd.una.Before(e.recovery.point.Plus(u.cwnd)) {
		e.undo()
	}
	e.recovery.undo = nil
}

// detectSpurious undoes a reduction when the peer's echoed timestamp shows
// that it acknowledges a first transmission, not the repeated one (the Eifel
// algorithm: RFC 3522, RFC 4015).
func (e *Endpoint) detectSpurious(s *Segment) {
	r, u := &e.recovery, e.recovery.undo
	if !(r.active || r.timeout) || u == nil || u.sent == Never || !e.ts.on || s.Options.Has&HasTimestamps == 0 {
		return
	}
	if e.inflight.empty() || !e.inflight.live()[0].resent {
		return
	}
	if int32(s.Options.TSEcr-tsClock(u.sent, e.open.tsOffset)) < 0 {
		e.undo()
	}
}

// undo takes the reduction back, and with it all that was deemed lost.
func (e *Endpoint) undo() {
	r := &e.recovery
	e.cong.undo(r.undo.cwnd, r.undo.ssthresh)
	live := e.inflight.live()
	for i := range live {
		live[i].lost = false
	}
	e.inflight.lost = 0
	e.rtt.backoff = 0
	*r = recovery{point: r.point}
}
