package endpoint

// Tuning is what faults change about an endpoint while it runs. The zero
// value changes nothing.
type Tuning struct {
	// Limited bounds the window that the peer is told of by Window, in
	// octets, at once; 0 shuts it. With a window scale it is told in units of
	// 1<<scale, rounded down.
	//
	// We depart from SHLD-14 (the right edge does not move left) because a
	// window that is shut only when it is used up may never be seen shut.
	// What was promised before is kept: the octets that the peer has under
	// way are taken.
	Limited bool
	Window  int
	// WithholdACKs: nothing that has arrived from now on is acknowledged. No
	// segment leaves only to acknowledge, and all others repeat the last
	// acknowledgement.
	WithholdACKs bool
	// StretchACKs, if above 1, is how many segments of the peer one ACK
	// answers. One that has no follower is acknowledged after stretchDelay.
	StretchACKs int
	// DeferFIN does not take the peer's FIN until ours has been sent, or
	// DeferFIN is taken back: both FINs cross (RFC 9293, 3.6, case 3). The
	// user is told by EventFINDeferred.
	DeferFIN bool
}

// stretchDelay is how long a stretched ACK waits for more segments, in
// nanoseconds: below 500 ms (MUST-40).
const stretchDelay = 400 * 1e6

// tuning is what faults have an endpoint remember. Most have none.
type tuning struct {
	Tuning
	held     heldState
	segments int  // of the peer since the last ACK
	copies   int  // of the last ACK still to be sent
	update   bool // the ACK that is due only tells of the window
	deferred bool // the peer's FIN is here and not taken
}

// maxCopies bounds the duplicate ACKs that RepeatACK makes.
const maxCopies = 1000

func (e *Endpoint) tuned() *tuning {
	if e.tune == nil {
		e.tune = &tuning{}
		e.dropHeld()
	}
	return e.tune
}

// Tune changes how the endpoint behaves from now on.
func (e *Endpoint) Tune(now Time, t Tuning) {
	old := e.tuned().Tuning
	e.tune.Tuning = t
	if e.tune.deferred && !t.DeferFIN {
		e.takeFIN(now)
	}
	if !e.synchronized() || e.state == TimeWait {
		return
	}
	switch {
	case old.WithholdACKs && !t.WithholdACKs && e.rcv.nxt != e.ts.lastAckSent:
		e.ackNow(now)
	case old.Limited != t.Limited || old.Window != t.Window:
		e.tellWindow(now)
	}
}

// RepeatACK sends the last acknowledgement n times more.
func (e *Endpoint) RepeatACK(now Time, n int) {
	if !e.synchronized() || n <= 0 {
		return
	}
	if e.rcv.nxt != e.ts.lastAckSent {
		// What is not acknowledged yet is so first, or the first of the
		// copies would be no duplicate.
		e.ackNow(now)
	}
	e.tuned().copies = min(n, maxCopies)
}

// tellWindow owes an ACK for the sake of its window alone.
func (e *Endpoint) tellWindow(now Time) {
	alone := e.due&dueACK == 0 && e.ack.at == Never
	e.ackNow(now)
	if e.tune != nil && alone {
		e.tune.update, e.tune.held.owed = true, 0
	}
}

// windowLimit is what faults leave of a window of n octets.
func (e *Endpoint) windowLimit(n int) int {
	if t := e.tune; t != nil && t.Limited {
		return min(n, t.Window)
	}
	return n
}

// limitedWindow is advance where the window is limited: silly windows are
// what is asked for.
func (e *Endpoint) limitedWindow(shift uint8) uint16 {
	field := min(max(e.windowLimit(e.room()), 0)>>shift, maxWindow16)
	e.rcv.edge = maxSeq(e.rcv.edge, e.rcv.nxt.Plus(field<<shift))
	return uint16(field)
}

// stampWithheld stamps a segment that must not acknowledge anything new. The
// window is told from where the acknowledgement stands, so that its right
// edge stays where it was.
func (e *Endpoint) stampWithheld(s *Segment) {
	s.Ack = e.ts.lastAckSent
	field := max(s.Ack.To(e.rcv.edge), 0) >> e.rcv.scale
	if e.tune.Limited {
		field = min(field, e.tune.Window>>e.rcv.scale)
	}
	s.Window = uint16(min(field, maxWindow16))
	e.settleACK()
}

// withholds tells whether acknowledgements are withheld.
func (e *Endpoint) withholds() bool { return e.tune != nil && e.tune.WithholdACKs }

// stretch counts a segment of n octets and tells whether its ACK is to wait
// for more, if there is anything to say about that.
func (e *Endpoint) stretch(now Time, n int) (wait, ok bool) {
	t := e.tune
	if t == nil || t.StretchACKs <= 1 {
		return false, false
	}
	size := max(e.rcv.mss, 1)
	t.segments += max((n+size-1)/size, 1)
	if t.segments < t.StretchACKs {
		e.ack.at = earliest(e.ack.at, now.Add(stretchDelay))
		return true, true
	}
	return false, true
}

// ackLeaves forgets what was owed or held: a segment with an acknowledgement
// leaves.
func (t *tuning) ackLeaves() {
	t.segments, t.update = 0, false
	t.held.owed, t.held.passed = 0, false
	t.held.at[HeldACK], t.held.at[HeldLastACK] = Never, Never
}

// deferFIN tells whether the peer's FIN, which is next in order, is not to be
// taken yet.
func (e *Endpoint) deferFIN() bool {
	t := e.tune
	if t == nil || !t.DeferFIN || e.state != Established && e.state != FinWait1 || e.fin.sent {
		return false
	}
	if !t.deferred {
		t.deferred = true
		e.events |= EventFINDeferred
	}
	return true
}

// takeFIN takes a FIN that was deferred.
func (e *Endpoint) takeFIN(now Time) {
	e.tune.deferred = false
	if e.in.haveFIN && e.in.fin == e.rcv.nxt {
		e.tune.DeferFIN = false
		e.handleFIN(now)
	}
}

// beforePoll does what waited for a segment of ours to leave.
func (t *tuning) beforePoll(now Time, e *Endpoint) {
	if t.deferred && e.fin.sent && e.state == FinWait1 {
		e.takeFIN(now)
	}
}

// pollCopy emits a copy of the last ACK.
func (e *Endpoint) pollCopy(now Time, s *Segment) bool {
	if e.tune == nil || e.tune.copies == 0 {
		return false
	}
	e.tune.copies--
	return e.pollACK(now, s)
}
