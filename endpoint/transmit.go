package endpoint

// maxIPPacket bounds a super-segment: an IP packet's length has 16 bits.
const maxIPPacket = 65535

// PollSegment writes the next segment to send into s, which it overwrites
// but for the capacity of s.Pieces, and tells whether there was one. Call it
// until it returns false. It is the one place where segments are born.
func (e *Endpoint) PollSegment(now Time, s *Segment) bool {
	*s = Segment{Pieces: s.Pieces[:0]}
	if e.tune != nil {
		e.tune.beforePoll(now, e)
	}
	if !e.pollSegment(now, s) {
		return false
	}
	e.counters.SegmentsOut++
	return true
}

func (e *Endpoint) pollSegment(now Time, s *Segment) bool {
	if e.due&dueRST != 0 {
		e.due &^= dueRST
		s.Seq, s.Ack, s.Flags = e.rst.seq, e.rst.ack, e.rst.flags
		return true
	}
	switch e.state {
	case Closed, Listen:
		return false
	case SynSent, SynReceived:
		return e.pollHandshake(now, s)
	}
	// What is missing here goes out by itself: data has no room for the SACK
	// option that says so.
	if e.due&dueACK != 0 && e.sack && (len(e.in.ooo) > 0 || e.in.dsack.Len() > 0) && e.mayACK(now) {
		return e.pollACK(now, s)
	}
	if e.pollRetransmission(now, s) || e.pollProbe(now, s) || e.pollNew(now, s) {
		return true
	}
	if e.due&(dueACK|dueChallenge) != 0 && e.mayACK(now) {
		return e.pollACK(now, s)
	}
	return e.pollCopy(now, s) || e.pollKeepAlive(now, s)
}

// pollHandshake emits SYN, or SYN-ACK, and challenge ACKs in SYN-RECEIVED.
func (e *Endpoint) pollHandshake(now Time, s *Segment) bool {
	if e.due&dueSYN != 0 {
		e.due &^= dueSYN
		s.Seq = e.snd.iss
		s.Flags = SYN | e.ecnSetup(e.inflight.empty())
		e.offers(now, &s.Options)
		s.Window = uint16(e.synWindow())
		if e.state == SynReceived {
			s.Flags |= ACK
			s.Ack = e.rcv.nxt
			e.rcv.edge = maxSeq(e.rcv.edge, e.rcv.nxt.Plus(int(s.Window)))
			e.ts.lastAckSent = e.rcv.nxt
		}
		if e.inflight.empty() {
			e.snd.nxt = e.snd.iss + 1
			e.inflight.add(e.snd.iss, e.snd.nxt, now)
			e.timer.since = now
		} else {
			t := &e.inflight.live()[0]
			t.resent, t.sent = true, now
			e.counters.Retransmits++
		}
		if e.timer.kind == timerNone {
			e.armSendTimer(now)
		}
		return true
	}
	if e.state == SynReceived && !e.inflight.empty() {
		if e.due&(dueACK|dueChallenge) != 0 {
			return e.pollACK(now, s)
		}
	} else {
		// Nothing can be said before our SYN; it will say it all.
		e.due &^= dueACK | dueChallenge
	}
	return false
}

// stamp fills in what every segment of a synchronized connection bears.
func (e *Endpoint) stamp(now Time, s *Segment) {
	s.Flags |= ACK
	if e.ts.on {
		e.ts.write(now, e.open.tsOffset, &s.Options)
	}
	if e.ecn.echo {
		s.Flags |= ECE
	}
	e.urgentMark(s)
	if e.withholds() {
		e.stampWithheld(s)
		return
	}
	s.Ack = e.rcv.nxt
	s.Window = e.advance(e.rcv.scale)
	e.acked()
}

// bareSeq is the sequence number of a segment without text: SND.NXT, or the
// right edge of the peer's window if that is left of it: because the window has
// shrunk (RFC 9293, 3.8.6), or is shut and was probed with an octet. From
// outside of its window the peer takes neither an acknowledgement nor a window;
// and one that has shut its own because it cannot write before it knows ours
// would wait for us, and we for it. What its scale rounds off does not count,
// but zero is zero. Until our SYN is acknowledged there is no window to be
// outside of.
func (e *Endpoint) bareSeq() Seq {
	edge := e.snd.una.Plus(e.snd.wnd)
	beyond := edge.To(e.snd.nxt)
	if beyond <= 0 || e.snd.wnd > 0 && beyond < 1<<e.snd.scale || e.snd.una == e.snd.iss {
		return e.snd.nxt
	}
	return edge
}

// pollACK emits a segment without text.
func (e *Endpoint) pollACK(now Time, s *Segment) bool {
	s.Seq = e.bareSeq()
	if e.sack && (len(e.in.ooo) > 0 || e.in.dsack.Len() > 0) {
		limit := 4
		if e.ts.on {
			limit = 3
		}
		e.in.sack(&s.Options, limit)
	}
	e.stamp(now, s)
	return true
}

// pollRetransmission emits the first record deemed lost, as far as cwnd and
// the peer's window allow (SHLD-16).
func (e *Endpoint) pollRetransmission(now Time, s *Segment) bool {
	if e.inflight.lost == 0 || e.blocked() {
		return false
	}
	i := 0
	live := e.inflight.live()
	for !live[i].lost {
		i++
	}
	budget := e.cong.cwnd - e.pipe()
	if e.recovery.force {
		budget = max(budget, e.snd.mss)
	}
	room := live[i].start.To(e.snd.una.Plus(e.snd.wnd))
	if e.inflight.lost > budget {
		e.cong.limit(e.snd.nxt)
	}
	if budget < min(e.snd.mss, live[i].len()) {
		return false
	}
	n := min(live[i].len(), e.wholeSegments(budget))
	if room < n {
		// The window was shrunk: what lies beyond its edge waits.
		if n = room; n <= 0 {
			return false
		}
	}
	if !e.inflight.splitAt(i, live[i].start.Plus(n)) {
		n = live[i].len()
	}
	e.resend(now, i, s)
	return true
}

// resend emits record i again.
func (e *Endpoint) resend(now Time, i int, s *Segment) {
	t := &e.inflight.live()[i]
	if t.lost {
		t.lost = false
		e.inflight.lost -= t.len()
	}
	t.resent, t.sent = true, now
	e.fill(s, t.start, t.end)
	e.noteRetransmission(now, Range{t.start, t.end})
	e.stamp(now, s)
	e.afterSending(now)
}

// fill writes the octets, and the FIN, of start to end into s.
func (e *Endpoint) fill(s *Segment, start, end Seq) {
	s.Seq = start
	textEnd := minSeq(end, e.out.end)
	n := start.To(textEnd)
	if n > 0 {
		var got int
		s.Pieces, got = e.out.gather(s.Pieces, start, n)
		if got != n {
			panic("endpoint: octets in flight are missing from the send queue")
		}
		if n > e.snd.mss {
			s.MSS = e.snd.mss
		}
	}
	if end.After(e.out.end) {
		s.Flags |= FIN
	}
	if n > 0 && textEnd == e.out.end {
		s.Flags |= PSH // MUST-61
	}
}

// wholeSegments rounds n down to full-sized segments, of which there is at
// least one, and to what one super-segment may hold.
func (e *Endpoint) wholeSegments(n int) int {
	headers := 40 + MaxHeaderLen
	if e.urgent.snd || e.ecn.cwr {
		// The kernel copies flags and pointer of a super-segment to all its
		// parts, of which they would be wrong.
		return e.snd.mss
	}
	n = min(n, maxIPPacket-headers)
	return max(n/e.snd.mss, 1) * e.snd.mss
}

// pollNew emits octets, or the FIN, for the first time.
func (e *Endpoint) pollNew(now Time, s *Segment) bool {
	unsent := e.snd.nxt.To(e.out.end)
	if e.inflight.full() || e.inflight.lost > 0 || e.blocked() || !e.synchronized() || e.fin.sent {
		return false
	}
	room := e.snd.nxt.To(e.snd.una.Plus(e.snd.wnd))
	n := 0
	if unsent > 0 {
		budget := e.cong.cwnd - e.pipe() + e.limitedTransmit()
		if unsent > budget {
			e.cong.limit(e.snd.nxt)
		}
		n = e.sendable(unsent, room, budget)
		if n == 0 {
			return false
		}
		if size := e.pathProbeSize(now, unsent, room, budget); size > 0 {
			return e.emitPathProbe(now, s, size)
		}
	}
	fin := n == unsent && room > n && e.finMayGo(now)
	if n == 0 && !fin {
		return false
	}
	n = e.emit(now, s, n, fin)
	if e.pipe()*2 >= e.cong.cwnd {
		e.cong.limit(e.snd.nxt)
	}
	return true
}

// limitedTransmit is what the first two duplicate ACKs allow beyond cwnd to a
// peer without SACK: each says that a segment has left the network, and new
// ones draw the third (RFC 3042). With SACK what was delivered is not in the
// pipe, which comes to the same.
func (e *Endpoint) limitedTransmit() int {
	if e.sack || e.recovery.active || e.recovery.timeout {
		return 0
	}
	return min(e.rack.dupACKs, dupThresh-1) * e.snd.mss
}

// sendable is how many of unsent octets may leave now, given the peer's room
// and our budget of cwnd: sender's silly window avoidance (MUST-38; RFC 9293,
// 3.8.6.2.1, from RFC 1122, 4.2.3.4), and Nagle's rule where it is on (SHLD-7).
func (e *Endpoint) sendable(unsent, room, budget int) int {
	n := min(unsent, room, budget)
	switch {
	case n <= 0:
		return 0
	case n == unsent:
		if e.cfg.Nagle && n < e.snd.mss && !e.inflight.empty() {
			return 0
		}
		return min(n, e.wholeSegments(n+e.snd.mss-1))
	case n >= e.snd.mss:
		return e.wholeSegments(n) // SHLD-28
	case n == room && room >= e.snd.maxWnd/2 && n <= budget:
		return n
	case e.inflight.empty() && n == budget:
		return n
	}
	return 0
}

// finMayGo tells whether the FIN may leave.
func (e *Endpoint) finMayGo(now Time) bool {
	return e.fin.wanted && !e.fin.sent && !e.fin.withheld && e.decideFIN(now)
}

// emit sends n new octets and perhaps the FIN.
func (e *Endpoint) emit(now Time, s *Segment, n int, fin bool) int {
	start := e.snd.nxt
	var got int
	if n > 0 {
		// Pieces are bounded; what does not fit goes with the next segment.
		s.Pieces, got = e.out.gather(s.Pieces, start, n)
		if got < n {
			n, fin = got, false
		}
		if n > e.snd.mss {
			s.MSS = e.snd.mss
		}
		if start.Plus(n) == e.out.end {
			s.Flags |= PSH
		}
	}
	s.Seq = start
	e.snd.nxt = start.Plus(n)
	if fin {
		s.Flags |= FIN
		e.snd.nxt++
		e.finSent()
	}
	if n > 0 {
		e.ecnMark(s)
	}
	e.inflight.add(start, e.snd.nxt, now)
	e.recovery.wasSent(n)
	e.stamp(now, s)
	e.afterSending(now)
	return n
}

// finSent changes the state when the FIN leaves for the first time.
func (e *Endpoint) finSent() {
	e.fin.sent = true
	if e.state == CloseWait {
		e.setState(LastAck)
	}
}

// afterSending starts the sender's timer if it does not run for something
// outstanding (RFC 6298, 5.1).
func (e *Endpoint) afterSending(now Time) {
	e.lastSent = now
	if e.timer.kind == timerNone || e.timer.kind == timerPersist && !e.blocked() || e.timer.kind == timerProbe {
		e.armSendTimer(now)
	}
}

// pollProbe emits the probe that a timer asked for: of a shut window (one
// octet, RFC 9293, 3.8.6.1) or of a silent tail (RFC 8985, 7.3).
func (e *Endpoint) pollProbe(now Time, s *Segment) bool {
	if e.due&dueProbe == 0 {
		return false
	}
	e.due &^= dueProbe
	unsent := e.snd.nxt.To(e.out.end)
	if e.rack.tlpOut && !e.blocked() && !e.inflight.empty() {
		return e.pollTailProbe(now, s, unsent)
	}
	e.timer.probed = e.blocked()
	if !e.inflight.empty() {
		if !e.blocked() {
			// What asked for the probe has been answered meanwhile.
			return false
		}
		// The oldest octet again; it can be answered whatever the window is.
		if e.inflight.splitAt(0, e.snd.una+1) {
			e.resend(now, 0, s)
			return true
		}
		return e.pollACK(now, s)
	}
	switch {
	case unsent > 0:
		n := 1
		if room := e.snd.nxt.To(e.snd.una.Plus(e.snd.wnd)); room > 1 {
			n = min(unsent, room, e.snd.mss)
		}
		e.emit(now, s, n, false)
		return true
	case e.unsent() && e.finMayGo(now):
		e.emit(now, s, 0, true)
		return true
	}
	return false
}

// pollTailProbe sends one segment of new data beyond cwnd or, for want of it,
// the last one again.
func (e *Endpoint) pollTailProbe(now Time, s *Segment, unsent int) bool {
	room := e.snd.nxt.To(e.snd.una.Plus(e.snd.wnd))
	if n := min(unsent, e.snd.mss); n > 0 && room >= n && !e.inflight.full() {
		e.emit(now, s, n, false)
		e.rack.tlpEnd = e.snd.nxt
		return true
	}
	last := len(e.inflight.live()) - 1
	if t := e.inflight.live()[last]; t.len() > e.snd.mss && e.inflight.splitAt(last, t.end.Plus(-e.snd.mss)) {
		last++
	}
	e.rack.tlpResent = true
	e.rack.tlpEnd = e.snd.nxt
	e.resend(now, last, s)
	e.timer.arm(timerRTO, now.Add(e.rtt.rto()))
	return true
}
