package endpoint

import "time"

// RACK-TLP constants (RFC 8985, 6 and 7; dupThresh is that of RFC 5681).
const (
	dupThresh     = 3
	maxReoMult    = 20
	reoPersist    = 16 // recoveries for which a widened window holds
	worstAckDelay = 200 * time.Millisecond
)

// rackState is RFC 8985's per-connection state for time-based loss detection.
type rackState struct {
	xmit    Time // RACK.xmit_ts: when the newest segment known delivered was sent
	rtt     time.Duration
	end     Seq // RACK.end_seq
	fack    Seq // highest sequence delivered
	prior   Seq // fack before the present ACK
	pending Time
	dupACKs int
	// Reordering window (RFC 8985, 6.2, step 4).
	reordered bool
	reoMult   uint8
	reoKeep   uint8
	started   bool
	// Tail loss probe (RFC 8985, 7).
	tlpOut     bool
	tlpResent  bool
	tlpEnd     Seq
	roundDSACK Seq
}

func (r *rackState) init() { r.reoMult, r.pending = 1, Never }

// rackUpdate notes that t was delivered (RFC 8985, 6.2, steps 1 to 3).
func (e *Endpoint) rackUpdate(now Time, s *Segment, t *transmission) {
	r := &e.rack
	if !r.started {
		r.started, r.fack, r.prior = true, t.start, t.start
	}
	if t.end.After(r.fack) {
		r.fack = t.end
	} else if t.end.Before(r.prior) && !t.resent {
		// What one ACK reports is not out of order among itself.
		r.reordered = true
	}
	rtt := now.Sub(t.sent)
	if t.resent {
		// Which transmission was it? The echoed timestamp tells, or a round
		// trip that is too short to be one.
		if e.ts.on && s.Options.Has&HasTimestamps != 0 && int32(s.Options.TSEcr-tsClock(t.sent, e.open.tsOffset)) < 0 {
			return
		}
		if rtt < e.rtt.min {
			return
		}
	}
	r.rtt = rtt
	if t.sent > r.xmit || t.sent == r.xmit && t.end.After(r.end) {
		r.xmit, r.end = t.sent, t.end
	}
}

// reoWnd is the time for which a gap is put down to reordering (RFC 8985,
// 6.2, step 4).
func (e *Endpoint) reoWnd() time.Duration {
	r := &e.rack
	if !r.reordered && (e.recovery.active || e.inflight.sacked >= dupThresh*e.snd.mss) {
		return 0
	}
	return min(time.Duration(r.reoMult)*e.rtt.min/4, e.rtt.srtt)
}

// rackDetect marks what must be lost because something sent sufficiently
// later was delivered (RFC 8985, 6.2, step 5). It tells whether anything was.
func (e *Endpoint) rackDetect(now Time) bool {
	r := &e.rack
	r.pending = Never
	if r.xmit == 0 {
		return false
	}
	wnd := e.reoWnd()
	found := false
	live := e.inflight.live()
	for i := range live {
		t := &live[i]
		if t.sacked || t.lost {
			continue
		}
		if t.sent > r.xmit || t.sent == r.xmit && t.end.AtLeast(r.end) {
			if !t.resent {
				// Records never sent again are in the order of time as well.
				break
			}
			continue
		}
		at := t.sent.Add(r.rtt + wnd)
		if at <= now {
			e.inflight.markLost(t)
			found = true
		} else {
			r.pending = earliest(r.pending, at)
		}
	}
	return found
}

// widenOnDSACK makes room for more reordering once a round trip in which a
// duplicate was reported (RFC 8985, 6.2, step 4).
func (e *Endpoint) widenOnDSACK() {
	r := &e.rack
	if e.snd.una.Before(r.roundDSACK) {
		return
	}
	r.roundDSACK = e.snd.nxt
	r.reoMult = min(r.reoMult+1, maxReoMult)
	r.reoKeep = reoPersist
}

// canProbe tells whether a tail loss probe may be scheduled (RFC 8985, 7.2).
func (e *Endpoint) canProbe() bool {
	return e.sack && !e.recovery.active && !e.rack.tlpOut && e.rtt.backoff == 0 && e.inflight.sacked == 0 && e.synchronized()
}

// probeTimeout is PTO (RFC 8985, 7.2).
func (e *Endpoint) probeTimeout() time.Duration {
	if e.rtt.srtt == 0 {
		return e.cfg.InitialRTO
	}
	pto := max(2*e.rtt.srtt, 2*tsTick)
	if e.snd.una.To(e.snd.nxt) <= e.snd.mss {
		pto += worstAckDelay
	}
	return pto
}
