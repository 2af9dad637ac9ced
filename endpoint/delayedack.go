package endpoint

// ackState is the delayed ACK (RFC 9293, 3.8.6.3; SHLD-18).
type ackState struct {
	at      Time  // when a delayed ACK must leave
	pending int32 // octets received since the last ACK left
	// duplicates is how many more ACKs are owed for out-of-order segments: a
	// peer without SACK counts them (RFC 5681, 3.2), so that one for a whole
	// burst would hide the loss from it.
	duplicates uint8
	// update tells that the next ACK is a window update. It leaves the count
	// of pending octets alone: else the pairs of a burst would fall out of
	// step with it, and its last segment would wait for the delayed ACK.
	update bool
}

// maxDuplicates bounds the duplicate ACKs that one burst can draw.
const maxDuplicates = 64

// duplicateACKs owes one ACK for an out-of-order segment.
func (e *Endpoint) duplicateACKs(now Time) {
	if !e.sack && e.due&dueACK != 0 && e.ack.duplicates < maxDuplicates {
		e.ack.duplicates++
	}
	e.ackNow(now)
}

// acknowledge owes an ACK for n octets in order: at once for every second
// full-sized segment (SHLD-19) and when a hole was filled or remains
// (RFC 5681, 4.2), later otherwise.
func (e *Endpoint) acknowledge(now Time, n int, filled bool) {
	e.ack.pending += int32(min(n, 1<<20))
	e.oweACK(now)
	if wait, ok := e.stretch(now, n); ok && !filled && len(e.in.ooo) == 0 {
		if !wait {
			e.ackNow(now)
		}
		return
	}
	quick := e.counters.SegmentsIn <= uint64(max(e.cfg.QuickACKs, 0))
	if filled || quick || len(e.in.ooo) > 0 || int(e.ack.pending) >= e.cfg.AckEvery*max(e.rcv.mss, 1) {
		e.ackNow(now)
		return
	}
	e.ack.at = earliest(e.ack.at, now.Add(e.cfg.AckDelay))
}

// ackNow owes an ACK with the next poll.
func (e *Endpoint) ackNow(now Time) {
	e.oweACK(now)
	e.due |= dueACK
}

// acked notes that a segment with an ACK leaves.
func (e *Endpoint) acked() {
	e.due &^= dueACK | dueChallenge
	e.ack.at = Never
	if !e.ack.update {
		e.ack.pending = 0
	}
	e.ack.update = false
	if e.tune != nil {
		e.tune.ackLeaves()
	}
	if e.ack.duplicates > 0 {
		e.ack.duplicates--
		e.due |= dueACK
	}
	e.ts.lastAckSent = e.rcv.nxt
}
