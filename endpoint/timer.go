package endpoint

import "time"

// timerKind says what the sender's one timer is for. One slot means that two
// of them cannot be armed at once.
type timerKind uint8

const (
	timerNone    timerKind = iota
	timerRTO               // RFC 6298
	timerProbe             // tail loss probe, RFC 8985, 7
	timerReorder           // RACK's reordering window, RFC 8985, 6.2
	timerPersist           // zero-window probe, RFC 9293, 3.8.6.1
)

type senderTimer struct {
	at     Time
	since  Time // when the peer last made progress; R2 counts from here
	kind   timerKind
	probes uint8 // unanswered timeouts in a row
	probed bool  // something was sent into a shut window
}

// maxProbes is where counting stops.
const maxProbes = 255

func (t *senderTimer) disarm() { t.kind, t.at = timerNone, Never }

func (t *senderTimer) arm(kind timerKind, at Time) { t.kind, t.at = kind, at }

// NextTimeout is the moment at which HandleTimeout wants to be called, or
// Never.
func (e *Endpoint) NextTimeout() Time {
	return min(e.timer.at, e.ack.at, e.closeAt, e.keep.at, e.heldUntil())
}

// HandleTimeout tells the endpoint the time. Deadlines that have not come are
// left alone, so it may be called early or late.
func (e *Endpoint) HandleTimeout(now Time) {
	if e.ack.at <= now {
		e.ack.at = Never
		e.due |= dueACK
	}
	e.releaseDue(now)
	if e.closeAt <= now {
		e.delete(0)
		return
	}
	if e.keep.at <= now {
		e.keepAliveTimeout(now)
	}
	if e.timer.at > now {
		return
	}
	kind := e.timer.kind
	e.timer.disarm()
	switch kind {
	case timerRTO:
		e.retransmissionTimeout(now)
	case timerProbe:
		e.sendTailProbe(now)
	case timerReorder:
		if e.rackDetect(now) {
			e.enterRecovery(now, nil)
		}
		e.armSendTimer(now)
	case timerPersist:
		e.persistTimeout(now)
	}
}

// maxOverride bounds the override timeout of silly window avoidance.
const maxOverride = time.Second

// armSendTimer chooses what the sender waits for next. It holds at all times:
// unacknowledged, unsent or window-blocked data has an armed timer.
func (e *Endpoint) armSendTimer(now Time) {
	switch {
	case e.state == Closed || e.state == TimeWait || e.state == Listen:
		e.timer.disarm()
	case !e.synchronized():
		if !e.inflight.empty() {
			e.timer.arm(timerRTO, now.Add(e.rtt.rto()))
		}
	case e.inflight.empty() && !e.unsent():
		e.timer.disarm()
	case e.blocked():
		e.timer.arm(timerPersist, now.Add(e.rtt.rto()))
	case e.inflight.empty():
		// PollSegment will send it, or silly window avoidance waits for more
		// window, but not for long (RFC 9293, 3.8.6.2.1: 0.1 to 1 s).
		e.timer.arm(timerPersist, now.Add(min(e.rtt.rto(), maxOverride)))
	case e.rack.pending != Never && e.sack:
		e.timer.arm(timerReorder, e.rack.pending)
	case e.canProbe():
		// Sending more puts the probe off, but never beyond the RTO, which
		// runs from the oldest segment or the last ACK (RFC 8985, 7.2;
		// RFC 6298, 5.1 and 5.3).
		from := max(e.inflight.live()[0].sent, e.timer.since)
		e.timer.arm(timerProbe, earliest(now.Add(e.probeTimeout()), from.Add(e.rtt.rto())))
	default:
		e.timer.arm(timerRTO, now.Add(e.rtt.rto()))
	}
}

// unsent tells that octets or a FIN wait to be sent for the first time.
func (e *Endpoint) unsent() bool {
	return e.synchronized() &&
		(e.snd.nxt.Before(e.out.end) || e.fin.wanted && !e.fin.sent && !e.fin.withheld && !e.holds(HeldFIN))
}

// blocked tells that the peer's window is what we wait for: nothing of what
// is outstanding or unsent fits in it (RFC 9293, 3.8.6.1).
func (e *Endpoint) blocked() bool { return e.snd.wnd == 0 }

// retransmissionTimeout is RFC 6298, 5.4 to 5.7.
func (e *Endpoint) retransmissionTimeout(now Time) {
	if e.inflight.empty() {
		e.armSendTimer(now)
		return
	}
	e.counters.Timeouts++
	if e.timer.probes < maxProbes {
		e.timer.probes++
	}
	if !e.synchronized() {
		// R2 of a SYN (MUST-22, MUST-23) is a number of retries. The user may
		// give up sooner: a relay does with the life of the other leg.
		most := e.cfg.SYNRetries
		if e.passive {
			most = e.cfg.SYNACKRetries
		}
		if int(e.timer.probes) > most {
			e.delete(EventTimeout)
			return
		}
		e.rtt.back()
		e.due |= dueSYN
		e.inflight.live()[0].resent = true
		e.armSendTimer(now)
		return
	}
	if e.gaveUp(now) {
		return
	}
	first := !e.recovery.timeout || e.snd.una.AtLeast(e.recovery.point)
	if first {
		e.rememberForUndo(e.recovery.active)
		e.recovery = recovery{timeout: true, point: e.snd.nxt, undo: e.recovery.undo}
	}
	e.cong.onTimeout(now, e.snd.una.To(e.snd.nxt), first)
	e.rack.tlpOut = false
	e.rack.dupACKs = 0
	// What the peer had selectively may be gone (RFC 2018, section 8), and
	// all the rest is deemed lost (RFC 6675, 5.1).
	if e.inflight.live()[0].sacked {
		e.inflight.renege()
	}
	live := e.inflight.live()
	for i := range live {
		e.inflight.markLost(&live[i])
	}
	e.recovery.force = true
	e.rtt.back() // RFC 6298, 5.5
	e.pathProbeLost(now)
	e.suspectBlackHole(now)
	e.timer.arm(timerRTO, e.byR2(now, now.Add(e.rtt.rto())))
}

// byR2 lets a retransmission timer that has backed off not run beyond R2, so
// that the end comes when R2 says, and not up to twice as late.
func (e *Endpoint) byR2(now, at Time) Time {
	if end := e.timer.since.Add(e.cfg.R2); e.timer.since != 0 && end > now {
		return earliest(at, end)
	}
	return at
}

// gaveUp applies R1 and R2 (MUST-20): tell the user of the trouble, then give
// the connection up.
func (e *Endpoint) gaveUp(now Time) bool {
	if int(e.timer.probes) == e.cfg.R1 {
		e.events |= EventTrouble
	}
	if e.timer.since != 0 && now.Sub(e.timer.since) >= e.cfg.R2 {
		// The peer, should it live, learns of it.
		e.rst = resetHeader{seq: e.bareSeq(), ack: e.rcv.nxt, flags: RST | ACK}
		e.due |= dueRST
		e.delete(EventTimeout)
		return true
	}
	return false
}

// persistTimeout sends a window probe, or what sender's silly window
// avoidance held back (RFC 9293, 3.8.6.1 and 3.8.6.2.1).
func (e *Endpoint) persistTimeout(now Time) {
	if e.inflight.empty() && !e.unsent() {
		return
	}
	if e.blocked() && e.gaveUp(now) {
		return
	}
	if e.timer.probes < maxProbes {
		e.timer.probes++
	}
	if e.blocked() {
		e.rtt.back() // SHLD-30
	}
	e.due |= dueProbe
	e.timer.arm(timerPersist, now.Add(e.rtt.rto()))
}

// sendTailProbe is RFC 8985, 7.3: new data if there is any, else the last
// segment again, to draw an ACK that shows what the tail lost.
func (e *Endpoint) sendTailProbe(now Time) {
	e.rack.tlpOut = true
	e.rack.tlpEnd = e.snd.nxt
	e.rack.tlpResent = false
	e.due |= dueProbe
	e.timer.arm(timerRTO, now.Add(e.rtt.rto()))
}
