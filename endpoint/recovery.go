package endpoint

// recovery is the state of loss recovery: fast recovery with proportional
// rate reduction (RFC 6937), or the slow start after a timeout.
type recovery struct {
	active  bool // fast recovery
	timeout bool // recovering from a retransmission timeout
	force   bool // the first retransmission leaves whatever cwnd says (RFC 5681, 3.2, step 3)
	point   Seq  // recovery ends when this is acknowledged (RecoveryPoint)
	// Proportional rate reduction.
	delivered int // prr_delivered
	sent      int // prr_out
	flightAt  int // RecoverFS
	// What to go back to when it turns out to have been for nothing
	// (RFC 4015, and RFC 3708 for D-SACK).
	undoCwnd     int
	undoSsthresh int
	undoSent     Time // when the first retransmission left
	undoResent   int  // retransmissions not yet reported as duplicates
}

// pipe estimates the octets in the network (RFC 6675, 4).
func (e *Endpoint) pipe() int {
	return e.snd.una.To(e.snd.nxt) - e.inflight.sacked - e.inflight.lost
}

// detectLoss judges what an ACK says about what is missing, and steers cwnd.
func (e *Endpoint) detectLoss(now Time, s *Segment, info *ackInfo) {
	r := &e.recovery
	if info.dsack {
		e.widenOnDSACK()
	}
	e.judgeProbe(info)
	if e.sack {
		if info.acked > 0 || info.sacked > 0 {
			if e.rackDetect(now) {
				e.enterRecovery(now)
			}
		}
	} else {
		e.detectByDuplicates(now, info)
	}
	if info.duplicate {
		e.counters.DupACKsIn++
	}
	switch {
	case r.active:
		e.reduceProportionally(info)
	case info.acked > 0 && !info.ece:
		e.cong.onACK(now, info.acked, e.rtt.srtt)
	}
	if (r.active || r.timeout) && e.snd.una.AtLeast(r.point) {
		e.endRecovery()
	}
}

// detectByDuplicates is fast retransmit and NewReno's partial ACK (RFC 5681,
// 3.2, and RFC 6582, 3.2), for a peer without SACK.
func (e *Endpoint) detectByDuplicates(now Time, info *ackInfo) {
	r := &e.recovery
	k := &e.rack
	switch {
	case info.duplicate:
		k.dupACKs++
		// RFC 6582, 3.2, step 2: not again for the window that was just
		// repaired. What was sent again in vain draws duplicate ACKs of its
		// end, so more than that must be acknowledged.
		if k.dupACKs == dupThresh && !r.active && !r.timeout && e.snd.una.After(r.point) {
			e.loseHead()
			e.enterRecovery(now)
		}
	case info.acked > 0:
		k.dupACKs = 0
		if r.active && e.snd.una.Before(r.point) {
			// A partial ACK: the next segment is missing too.
			e.loseHead()
			r.force = true
		}
	}
}

// loseHead deems the first outstanding packet lost.
func (e *Endpoint) loseHead() {
	if e.inflight.empty() {
		return
	}
	e.inflight.splitAt(0, e.inflight.live()[0].start.Plus(e.snd.mss))
	e.inflight.markLost(&e.inflight.live()[0])
}

func (e *Endpoint) enterRecovery(now Time) {
	r := &e.recovery
	if r.active || r.timeout && e.snd.una.Before(r.point) {
		return
	}
	if e.pathProbeLost(now) {
		return
	}
	e.counters.FastRecoveries++
	*r = recovery{
		active: true, force: true, point: e.snd.nxt,
		flightAt: max(e.snd.una.To(e.snd.nxt), 1),
		undoCwnd: e.cong.cwnd, undoSsthresh: e.cong.ssthresh, undoSent: Never,
	}
	e.rack.tlpOut = false
	e.cong.onLoss(now, e.snd.una.To(e.snd.nxt))
}

// reduceProportionally sets cwnd for one ACK of fast recovery (RFC 6937, 3.1,
// with the slow-start reduction bound).
func (e *Endpoint) reduceProportionally(info *ackInfo) {
	r := &e.recovery
	delivered := info.delivered
	if !e.sack && info.duplicate {
		// Each duplicate ACK says that one packet has left the network.
		delivered += e.snd.mss
	}
	r.delivered += delivered
	pipe := e.pipe()
	if !e.sack {
		pipe = max(pipe-e.rack.dupACKs*e.snd.mss, 0)
	}
	send := 0
	if pipe > e.cong.ssthresh {
		send = (r.delivered*e.cong.ssthresh+r.flightAt-1)/r.flightAt - r.sent
	} else {
		send = min(e.cong.ssthresh-pipe, max(r.delivered-r.sent, delivered)+e.snd.mss)
	}
	e.cong.cwnd = max(e.pipe()+max(send, 0), e.snd.mss)
}

func (e *Endpoint) endRecovery() {
	r := &e.recovery
	if r.active {
		e.cong.cwnd = max(e.cong.ssthresh, e.snd.mss) // RFC 6937, 3.1
	}
	if k := &e.rack; k.reoKeep > 0 {
		if k.reoKeep--; k.reoKeep == 0 {
			k.reoMult = 1
		}
	}
	e.rack.dupACKs = 0
	r.active, r.timeout, r.force = false, false, false
	r.undoSent = Never
}

// noteRetransmission counts what leaves in recovery.
func (e *Endpoint) noteRetransmission(now Time, n int) {
	r := &e.recovery
	e.counters.Retransmits++
	r.force = false
	if r.undoSent == Never {
		r.undoSent = now
	}
	r.undoResent++
	if r.active {
		r.sent += n
	}
}

// detectSpurious undoes a reduction when the peer's echoed timestamp shows
// that it acknowledges a first transmission, not the repeated one (the Eifel
// algorithm: RFC 3522, RFC 4015).
func (e *Endpoint) detectSpurious(now Time, s *Segment) {
	r := &e.recovery
	if !(r.active || r.timeout) || r.undoSent == Never || r.undoSent == 0 || !e.ts.on || s.Options.Has&HasTimestamps == 0 {
		return
	}
	if e.inflight.empty() || !e.inflight.live()[0].resent {
		return
	}
	if int32(s.Options.TSEcr-tsClock(r.undoSent, e.open.tsOffset)) < 0 {
		e.undo()
	}
}

// duplicateReported counts a D-SACK; when every retransmission was one, none
// was needed (RFC 3708).
func (r *recovery) duplicateReported(e *Endpoint) {
	if r.undoResent == 0 {
		return
	}
	if r.undoResent--; r.undoResent == 0 && (r.active || r.timeout) && r.undoCwnd > 0 {
		e.undo()
	}
}

func (e *Endpoint) undo() {
	r := &e.recovery
	e.cong.cwnd = max(e.cong.cwnd, r.undoCwnd)
	e.cong.ssthresh = r.undoSsthresh
	live := e.inflight.live()
	for i := range live {
		if live[i].lost {
			live[i].lost = false
		}
	}
	e.inflight.lost = 0
	e.rtt.backoff = 0
	*r = recovery{point: r.point, undoSent: Never}
}

// keepMarksFresh lets what was passed long ago follow SND.UNA: left behind by
// 2^31 octets, it would seem to lie ahead.
func (e *Endpoint) keepMarksFresh() {
	if r := &e.recovery; !r.active && !r.timeout && e.snd.una.After(r.point) {
		r.point = e.snd.una - 1
	}
	if e.ecn.on && e.snd.una.After(e.ecn.point) {
		e.ecn.point = e.snd.una - 1
	}
	e.rack.roundDSACK = maxSeq(e.rack.roundDSACK, e.snd.una)
}

// judgeProbe ends a tail loss probe's episode (RFC 8985, 7.4).
func (e *Endpoint) judgeProbe(info *ackInfo) {
	k := &e.rack
	if !k.tlpOut || e.snd.una.Before(k.tlpEnd) {
		return
	}
	// At the very end of what was probed it is still open whether the ACK is
	// for the probe or for what it repeated.
	switch {
	case !k.tlpResent || info.dsack || info.duplicate && info.sacked == 0:
		// Nothing was lost: new data, or both copies have come.
		k.tlpOut = false
	case e.snd.una.After(k.tlpEnd):
		// The probe repaired a loss that nothing else showed.
		k.tlpOut = false
		e.cong.onLoss(0, e.snd.una.To(e.snd.nxt))
		e.cong.cwnd = max(e.cong.ssthresh, e.snd.mss)
	}
}
