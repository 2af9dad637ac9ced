package endpoint

// recovery is the state of loss recovery: fast recovery with proportional
// rate reduction (RFC 9937, which replaces RFC 6937), or the slow start after
// a timeout.
//
// What is lost is found by RACK-TLP (RFC 8985, rack.go) where the peer has
// SACK. RFC 6675 remains as what RACK rests on: the scoreboard, pipe, and its
// three SACKed segments as DupThresh, at which RACK waits no longer. Without
// SACK it is RFC 5681, 3.2 with the partial ACKs of RFC 6582.
type recovery struct {
	active  bool // fast recovery
	timeout bool // recovering from a retransmission timeout
	force   bool // the first retransmission leaves whatever cwnd says (RFC 5681, 3.2, step 3)
	point   Seq  // recovery ends when this is acknowledged (RecoveryPoint)
	// Proportional rate reduction (RFC 9937, 6), in octets.
	delivered int32 // prr_delivered
	sent      int32 // prr_out
	flightAt  int32 // RecoverFS
	undo      *undoState
}

// pipe estimates the octets in the network (RFC 6675, 4).
func (e *Endpoint) pipe() int {
	return e.snd.una.To(e.snd.nxt) - e.inflight.sacked - e.inflight.lost
}

// detectLoss judges what an ACK says about what is missing, and steers cwnd.
func (e *Endpoint) detectLoss(now Time, s *Segment, info *ackInfo) {
	r := &e.recovery
	if info.dsack && !(e.rack.tlpResent && info.dup.End == e.rack.tlpEnd) {
		// The duplicate of a tail loss probe says nothing of reordering.
		e.widenOnDSACK()
	}
	e.judgeProbe(info)
	e.cong.onRTT(e.snd.una, e.snd.nxt, e.rtt.takeSample())
	before := e.inflight.lost
	if e.sack {
		if (info.acked > 0 || info.sacked > 0) && e.rackDetect(now) {
			e.enterRecovery(now, info)
		}
	} else {
		e.detectByDuplicates(now, info)
	}
	if info.duplicate {
		e.counters.DupACKsIn++
	}
	if e.snd.una.After(e.cong.limitedTo) {
		// What was sent since then, cwnd had room for.
		e.cong.limited = false
	}
	switch {
	case r.active:
		e.reduceProportionally(info, info.acked > 0 && e.inflight.lost <= before)
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
	info.dupACKs = k.dupACKs
	switch {
	case info.duplicate:
		k.dupACKs++
		// RFC 6582, 3.2, step 2: not again for the window that was just
		// repaired. What was sent again in vain draws duplicate ACKs of its
		// end, so more than that must be acknowledged.
		if k.dupACKs == dupThresh && !r.active && !r.timeout && e.snd.una.After(r.point) {
			e.loseHead()
			e.enterRecovery(now, info)
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

// enterRecovery starts fast recovery; info is nil if it was not an ACK that
// showed the loss.
func (e *Endpoint) enterRecovery(now Time, info *ackInfo) {
	r := &e.recovery
	if r.active || r.timeout && e.snd.una.Before(r.point) {
		return
	}
	if e.pathProbeLost(now) {
		return
	}
	e.counters.FastRecoveries++
	flight := e.snd.una.To(e.snd.nxt)
	e.rememberForUndo(false)
	*r = recovery{active: true, force: true, point: e.snd.nxt, undo: r.undo}
	// What had been delivered before does not count (RFC 9937, 6).
	r.flightAt = int32(flight - e.inflight.sacked)
	if info != nil {
		r.flightAt += int32(info.sacked + info.acked)
	}
	r.flightAt = max(r.flightAt, 1)
	e.rack.tlpOut = false
	e.cong.onLoss(now, flight)
	if info == nil {
		e.reduceProportionally(&ackInfo{}, false)
	}
}

// reduceProportionally sets cwnd for one ACK of fast recovery, safe if it
// advances SND.UNA and shows no further loss (SafeACK; RFC 9937, 6).
func (e *Endpoint) reduceProportionally(info *ackInfo, safe bool) {
	r := &e.recovery
	delivered := info.delivered
	pipe := e.pipe()
	if !e.sack {
		// Each duplicate ACK says that one packet has left the network, which
		// the next advance of SND.UNA must not say again.
		if info.duplicate {
			delivered += e.snd.mss
		} else {
			delivered = max(delivered-info.dupACKs*e.snd.mss, 0)
		}
		pipe = max(pipe-e.rack.dupACKs*e.snd.mss, 0)
	}
	r.delivered = int32(min(int(r.delivered)+delivered, infiniteWindow))
	send := 0
	if pipe > e.cong.ssthresh {
		send = (int(r.delivered)*e.cong.ssthresh+int(r.flightAt)-1)/int(r.flightAt) - int(r.sent)
	} else {
		send = max(int(r.delivered-r.sent), delivered)
		if safe {
			send += e.snd.mss
		}
		send = min(e.cong.ssthresh-pipe, send)
	}
	if r.sent == 0 {
		send = max(send, e.snd.mss) // the fast retransmit
	}
	e.cong.cwnd = max(e.pipe()+max(send, 0), e.snd.mss)
}

// wasSent counts n octets towards prr_out.
func (r *recovery) wasSent(n int) {
	if r.active {
		r.sent = int32(min(int(r.sent)+n, infiniteWindow))
	}
}

func (e *Endpoint) endRecovery() {
	r := &e.recovery
	if r.active {
		e.cong.cwnd = max(e.cong.ssthresh, e.snd.mss) // RFC 9937, 6
	}
	if k := &e.rack; k.reoKeep > 0 {
		if k.reoKeep--; k.reoKeep == 0 {
			k.reoMult = 1
		}
	}
	e.rack.dupACKs = 0
	r.active, r.timeout, r.force = false, false, false
}

// noteRetransmission counts what leaves again in recovery.
func (e *Endpoint) noteRetransmission(now Time, again Range) {
	r := &e.recovery
	e.counters.Retransmits++
	r.force = false
	r.undo.note(now, again)
	r.wasSent(again.Len())
}

// keepMarksFresh lets what was passed long ago follow SND.UNA: left behind by
// 2^31 octets, it would seem to lie ahead.
func (e *Endpoint) keepMarksFresh() {
	if r := &e.recovery; !r.active && !r.timeout && e.snd.una.After(r.point) {
		if u := r.undo; u != nil && e.snd.una.After(r.point.Plus(u.cwnd)) {
			r.undo = nil
		}
		if r.undo == nil {
			r.point = e.snd.una - 1
		}
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
