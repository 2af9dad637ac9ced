package endpoint

import "time"

// handleACK is the fifth step of RFC 9293, 3.10.7.4: the ACK field.
func (e *Endpoint) handleACK(now Time, s *Segment) Reason {
	if e.state == SynReceived {
		if !(s.Ack.After(e.snd.una) && s.Ack.AtMost(e.snd.nxt)) {
			e.resetFor(s)
			e.due |= dueRST
			return ReasonBadAck
		}
		e.becomeEstablished(now, s)
	}
	// RFC 5961, 5.2 (MAY-12): an ACK from beyond what was sent, or from longer
	// ago than the largest window, is not from the peer.
	switch {
	case s.Ack.After(e.snd.nxt):
		e.challenge(now)
		return ReasonBadAck
	case s.Ack.Before(e.snd.una.Plus(-e.snd.maxWnd)):
		e.challenge(now)
		return ReasonBadAck
	}
	before := e.snd.una
	outstanding := e.snd.una.To(e.snd.nxt) - e.inflight.sacked
	advanced := s.Ack.After(e.snd.una)
	wndBefore := e.snd.wnd
	e.updateSendWindow(s)
	acked := 0
	var info ackInfo
	e.rack.prior = e.rack.fack
	e.inspectSACK(now, s, &info)
	if advanced {
		acked = e.acknowledged(now, s, &info)
	}
	info.acked = acked
	info.delivered = outstanding - (e.snd.una.To(e.snd.nxt) - e.inflight.sacked)
	info.duplicate = !advanced && s.Ack == before && s.PayloadLen() == 0 && !s.Flags.Has(FIN) &&
		e.snd.wnd == wndBefore && !e.inflight.empty() && !e.blocked()
	if wndBefore == 0 && !e.blocked() {
		// The probes' backoff says nothing of the path, and a probe that had
		// no room is not lost by congestion: it goes again at once.
		e.rtt.backoff = 0
		if e.timer.probed && !advanced && !e.inflight.empty() {
			e.inflight.markLost(&e.inflight.live()[0])
		}
		e.timer.probed = false
	}
	info.ece = e.ecnEchoed(now, s, outstanding)
	e.judgePathProbe(now)
	e.detectLoss(now, s, &info)
	if advanced {
		e.finAcknowledged(now)
	}
	if e.state == Closed {
		return ReasonNone
	}
	switch {
	case advanced || info.sacked > 0 || (wndBefore == 0) != e.blocked() ||
		e.snd.wnd != wndBefore && e.timer.kind == timerPersist && !e.blocked():
		e.timer.probes = 0
		e.armSendTimer(now)
	case e.timer.kind == timerPersist:
		// The probe was answered, so the peer is there (MUST-37).
		e.timer.since, e.timer.probes = now, 0
	}
	return ReasonNone
}

// ackInfo gathers what one ACK says.
type ackInfo struct {
	acked     int  // octets acknowledged cumulatively
	delivered int  // octets newly acknowledged in either way
	sacked    int  // octets newly acknowledged selectively
	duplicate bool // it is a duplicate ACK (RFC 5681, section 2)
	ece       bool // it echoes a congestion mark (RFC 3168)
	dsack     bool // it reports a duplicate of ours (RFC 2883)
	dup       Range
	dupACKs   int // duplicate ACKs in a row before this one
}

// becomeEstablished ends the handshake of the passive side.
func (e *Endpoint) becomeEstablished(now Time, s *Segment) {
	// From here on windows are scaled (RFC 7323, 2.3).
	e.snd.wnd = int(s.Window) << e.snd.scale
	e.snd.maxWnd = max(e.snd.maxWnd, e.snd.wnd)
	e.snd.wl1, e.snd.wl2 = s.Seq, s.Ack
	e.due &^= dueSYN
	e.dropHeld()
	e.handshakeDone(now, e.rtt.backoff > 0)
}

// handshakeDone makes the state ESTABLISHED, and FIN-WAIT-1 if the user has
// closed meanwhile; lost tells that our SYN timed out.
func (e *Endpoint) handshakeDone(now Time, lost bool) {
	e.setState(Established)
	e.startKeepAlive(now)
	e.cong.established(lost)
	e.rtt.backoff = 0
	if lost {
		e.rtt.initial = max(e.rtt.initial, toMicros(initialAfterLoss))
	}
	e.timer.probes, e.timer.since = 0, now
	if e.fin.wanted {
		e.setState(FinWait1)
	}
}

// initialAfterLoss is the RTO at the start of data if the handshake lost a
// segment and gave no measurement (RFC 6298, 5.7).
const initialAfterLoss = 3 * time.Second

// updateSendWindow takes SND.WND from a segment that is not older than the
// one it was last taken from (RFC 9293, 3.10.7.4).
func (e *Endpoint) updateSendWindow(s *Segment) {
	if s.Ack.Before(e.snd.una) {
		return
	}
	// We depart from the RFC, which keeps the old SND.WND if text that was
	// sent earlier brings the newer ACK (a hole that was filled), because then
	// the window's right edge would move with SND.UNA to where the peer has
	// never had it, and we would send what it has no room for. Linux does so
	// too (tcp_may_update_window).
	if e.snd.wl1.Before(s.Seq) || e.snd.wl1 == s.Seq && e.snd.wl2.AtMost(s.Ack) || s.Ack.After(e.snd.una) {
		e.snd.wnd = int(s.Window) << e.snd.scale // MUST-1
		e.snd.wl1, e.snd.wl2 = maxSeq(e.snd.wl1, s.Seq), s.Ack
		e.snd.maxWnd = max(e.snd.maxWnd, e.snd.wnd)
	}
}

// acknowledged moves SND.UNA to the segment's ACK and returns the octets that
// became acknowledged.
func (e *Endpoint) acknowledged(now Time, s *Segment, info *ackInfo) int {
	n := e.snd.una.To(s.Ack)
	live := e.inflight.live()
	// The newest record that this ACK covers gives the RTT (RFC 6298, 3, and
	// RFC 8985, 6.2, step 1).
	var newest *transmission
	resent := false
	for i := range live {
		t := &live[i]
		if t.start.AtLeast(s.Ack) {
			break
		}
		if !t.sacked {
			resent = resent || t.resent
			// Of a record that the ACK cuts, only the front was delivered.
			front := *t
			front.end = minSeq(t.end, s.Ack)
			e.rackUpdate(now, s, &front)
			if t.end.AtMost(s.Ack) {
				newest = t
			}
		}
	}
	if newest != nil {
		e.sampleRTT(now, s, newest.sent, resent)
		e.pathAcknowledged(now, newest)
	}
	e.detectSpurious(s)
	e.inflight.ackTo(s.Ack)
	e.snd.una = s.Ack
	e.keepMarksFresh()
	e.urgentAcknowledged()
	if e.out.len() > 0 {
		held := e.out.len()
		e.out.ackTo(s.Ack)
		if e.out.len() < held {
			e.counters.OctetsOut += uint64(held - e.out.len())
			e.events |= EventWritable
		}
	}
	// The RTO stays backed off until a measurement collapses it (RFC 6298, 5).
	e.timer.since = now
	return n
}

// sampleRTT measures the round trip of what was sent at sent and has just been
// acknowledged. If something that the ACK covers was sent again, only
// timestamps can tell which transmission was answered (Karn's algorithm), and
// when: what lay behind a hole has waited for the hole to be filled.
func (e *Endpoint) sampleRTT(now Time, s *Segment, sent Time, resent bool) {
	if !resent {
		e.rtt.sample(now, now.Sub(sent))
		return
	}
	if e.ts.on && s.Options.Has&HasTimestamps != 0 && s.Options.TSEcr != 0 {
		ticks := tsClock(now, e.open.tsOffset) - s.Options.TSEcr
		if d := tsTick * time.Duration(ticks); d >= 0 && d < e.cfg.MaxRTO {
			e.rtt.sample(now, max(d, tsTick))
		}
	}
}

// finAcknowledged changes the state when our FIN is acknowledged.
func (e *Endpoint) finAcknowledged(now Time) {
	if !e.fin.sent || e.snd.una != e.snd.nxt {
		return
	}
	switch e.state {
	case FinWait1:
		e.setState(FinWait2)
		e.limitOrphan(now)
	case Closing:
		e.enterTimeWait(now)
	case LastAck:
		e.delete(0)
	}
}

// inspectSACK marks what the peer has selectively (RFC 2018) and notes a
// report of a duplicate (RFC 2883).
func (e *Endpoint) inspectSACK(now Time, s *Segment, info *ackInfo) {
	if !e.sack || s.Options.SACKBlocks == 0 {
		return
	}
	for i, r := range s.Options.SACK[:s.Options.SACKBlocks] {
		if i == 0 && e.isDSACK(s, r) {
			info.dsack, info.dup = true, r
			e.duplicateReported(r)
			continue
		}
		// A block must lie within what is outstanding.
		if !r.Start.Before(r.End) || r.Start.Before(s.Ack) || r.Start.Before(e.snd.una) || r.End.After(e.snd.nxt) {
			continue
		}
		e.markRange(now, s, r, info)
	}
}

// isDSACK tells whether the first block reports a duplicate: it lies below
// the cumulative ACK or within the second block (RFC 2883, section 4).
func (e *Endpoint) isDSACK(s *Segment, r Range) bool {
	if r.End.AtMost(s.Ack) && r.Start.Before(r.End) {
		return true
	}
	if s.Options.SACKBlocks > 1 {
		second := s.Options.SACK[1]
		return r.Start.AtLeast(second.Start) && r.End.AtMost(second.End)
	}
	return false
}

func (e *Endpoint) markRange(now Time, s *Segment, r Range, info *ackInfo) {
	for i := e.inflight.find(r.Start); i < len(e.inflight.live()); i++ {
		t := &e.inflight.live()[i]
		if t.start.AtLeast(r.End) {
			return
		}
		if t.sacked {
			continue
		}
		if t.start.Before(r.Start) {
			if !e.inflight.splitAt(i, r.Start) {
				return
			}
			continue
		}
		if t.end.After(r.End) {
			if !e.inflight.splitAt(i, r.End) {
				return
			}
			t = &e.inflight.live()[i]
		}
		info.sacked += t.len()
		e.rackUpdate(now, s, t)
		if !t.resent {
			e.rtt.sample(now, now.Sub(t.sent))
		}
		e.inflight.markSacked(t)
	}
}
