package endpoint

import "time"

// HeldKind is a kind of segment that can be held back once it is decided.
type HeldKind uint8

// The kinds.
const (
	HeldSYNACK HeldKind = iota
	// HeldACK is an ACK without text that acknowledges text, or a duplicate:
	// not the third segment of a handshake, and not a mere window update.
	HeldACK
	HeldLastACK // the ACK of the peer's FIN, without text
	HeldFIN
	numHeld
)

// Holder says how long a segment that has been decided is held back before
// it is sent, for fault injection. It is asked once for each decision: once
// for the SYN-ACK, once for the FIN, and once for each ACK that is about to
// leave alone. 0 or less sends it at once. It must not call the endpoint.
//
// What is held is sent once, when its time has come or ReleaseHeld is called,
// and retransmission begins only then. An ACK is composed when it leaves:
// those that are decided while one is held join it, at the earliest of their
// times; one that is not held, and any segment with text, takes the held one
// along. An ACK's time counts from the arrival of what it acknowledges, so
// that the delayed ACK (SHLD-18) runs within it.
type Holder interface {
	Hold(now Time, k HeldKind) time.Duration
}

// heldState is what is held back; it exists only with a Holder.
type heldState struct {
	holder Holder
	at     [numHeld]Time // when it may leave; Never: none is held
	owed   Time          // since when an ACK is owed; 0: none
	passed bool          // the ACK that is due was held and is released
	asked  bool          // about the FIN
}

// holds tells whether a segment of kind k is being held back.
func (e *Endpoint) holds(k HeldKind) bool { return e.tune != nil && e.tune.held.at[k] != Never }

// heldUntil is when the first of what is held may leave.
func (e *Endpoint) heldUntil() Time {
	if e.tune == nil {
		return Never
	}
	at := &e.tune.held.at
	return min(at[HeldSYNACK], at[HeldACK], at[HeldLastACK], at[HeldFIN])
}

// hold asks the holder about a decided segment, which has been waiting since
// a moment, and tells whether it is held now.
func (e *Endpoint) hold(now, since Time, k HeldKind) bool {
	if e.tune == nil || e.tune.held.holder == nil {
		return false
	}
	h := &e.tune.held
	at := now
	if d := h.holder.Hold(now, k); d > 0 {
		at = since.Add(d)
	}
	if at <= now {
		return false
	}
	h.at[k] = min(h.at[k], at, Never-1)
	return true
}

// decideSYNACK owes the SYN-ACK, now or when it is released.
func (e *Endpoint) decideSYNACK(now Time) {
	if !e.hold(now, now, HeldSYNACK) {
		e.due |= dueSYN
	}
}

// releaseDue sends what has been held for long enough.
func (e *Endpoint) releaseDue(now Time) {
	if e.tune == nil {
		return
	}
	for k, at := range e.tune.held.at {
		if at <= now {
			e.ReleaseHeld(now, HeldKind(k))
		}
	}
}

// ReleaseHeld sends what is held of a kind with the next poll, whether its
// time has come or not.
func (e *Endpoint) ReleaseHeld(now Time, k HeldKind) {
	if !e.holds(k) {
		return
	}
	e.tune.held.at[k] = Never
	switch k {
	case HeldSYNACK:
		e.due |= dueSYN
	case HeldACK, HeldLastACK:
		e.tune.held.passed = true
		e.due |= dueACK
	case HeldFIN:
		if e.inflight.empty() {
			// Else the timer runs for what is outstanding (RFC 6298, 5.1).
			e.timer.since = now
			e.armSendTimer(now)
		}
	}
}

// dropHeld forgets what is held of a connection that is over.
func (e *Endpoint) dropHeld() {
	if e.tune != nil {
		e.tune.held.at = [numHeld]Time{Never, Never, Never, Never}
	}
}

// oweACK notes since when an ACK is owed.
func (e *Endpoint) oweACK(now Time) {
	if t := e.tune; t != nil {
		t.update = false
		if t.held.owed == 0 {
			t.held.owed = now
		}
	}
}

// mayACK tells whether an ACK that is due may leave alone. Where faults have
// no say it always may.
func (e *Endpoint) mayACK(now Time) bool {
	t := e.tune
	if t == nil {
		return true
	}
	if t.WithholdACKs {
		e.settleACK()
		return false
	}
	k, ok := e.kindOfACK()
	if t.held.passed || !ok || !e.hold(now, t.held.since(now), k) {
		return true
	}
	if e.state == TimeWait {
		// The 2 MSL begin when the last ACK leaves.
		e.closeAt = t.held.at[k].Add(2 * e.cfg.MSL)
	}
	e.settleACK()
	return false
}

// settleACK takes back that an ACK is due: it was decided, and does not leave.
func (e *Endpoint) settleACK() {
	e.due &^= dueACK | dueChallenge
	e.ack.at, e.ack.pending, e.ack.duplicates = Never, 0, 0
	e.tune.segments, e.tune.held.owed = 0, 0
}

// since is when the ACK that is due began to be owed.
func (h *heldState) since(now Time) Time {
	if h.owed == 0 {
		return now
	}
	return h.owed
}

// kindOfACK tells what the ACK that is due is to the holder; ok is false if it
// is nothing that can be held.
func (e *Endpoint) kindOfACK() (k HeldKind, ok bool) {
	switch {
	case e.in.haveFIN && e.rcv.nxt.After(e.in.fin):
		return HeldLastACK, true
	case e.tune.update:
		return 0, false
	}
	return HeldACK, e.passive || e.snd.nxt != e.snd.iss+1 || e.rcv.nxt != e.rcv.irs+1
}

// decideFIN tells whether the FIN, which the user wants and nothing hinders,
// may leave. It is asked about once.
func (e *Endpoint) decideFIN(now Time) bool {
	if t := e.tune; t != nil && !t.held.asked {
		t.held.asked = true
		e.hold(now, now, HeldFIN)
	}
	return !e.holds(HeldFIN)
}
