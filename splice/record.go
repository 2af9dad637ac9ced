package splice

import (
	"math"

	"tcpmitm/endpoint"
)

// legRecord is what a verdict needs to know of a leg and nobody else keeps. A
// flow has two of it for as long as it lives, so it is small. A moment that
// has not come is 0.
type legRecord struct {
	syn, synACK, established endpoint.Time
	firstByte                endpoint.Time // the first octet of the peer's stream
	finOut, finAcked, finIn  endpoint.Time

	outEnd, inEnd       endpoint.Seq // the end of what was sent, and of what came, so far
	windowOut, windowIn Span
	peerRetransmits     uint32
	sentSome, gotSome   bool // outEnd and inEnd hold something
	again               bool // the last segment was sent before
	// ender is the first letter of the termination code, 0 for a leg that has
	// not ended or has ended in order.
	ender byte
}

// Span is the smallest and the largest of some values, in octets. Seen tells
// that there was any.
type Span struct {
	Min, Max int32
	Seen     bool
}

func (s *Span) add(v int32) {
	if !s.Seen {
		*s = Span{v, v, true}
		return
	}
	s.Min, s.Max = min(s.Min, v), max(s.Max, v)
}

// recordIn notes a segment that the leg's endpoint is given.
func (l *leg) recordIn(now endpoint.Time, seg *endpoint.Segment) {
	r := &l.record
	r.again = passed(seg, &r.inEnd, &r.gotSome)
	if r.again {
		r.peerRetransmits++
	}
	if !r.opening(now, seg) {
		return
	}
	r.windowIn.add(int32(seg.Window) << l.scaleIn)
	if seg.PayloadLen() > 0 {
		first(&r.firstByte, now)
		l.countAfterFIN()
	}
	if seg.Flags.Has(endpoint.FIN) {
		first(&r.finIn, now)
	}
	// Our FIN is the last octet of what was sent.
	if r.finOut != 0 && seg.Flags.Has(endpoint.ACK) && seg.Ack == r.outEnd {
		first(&r.finAcked, now)
	}
}

// recordOut notes a segment that the leg's endpoint has sent.
func (l *leg) recordOut(now endpoint.Time, seg *endpoint.Segment) {
	r := &l.record
	r.again = passed(seg, &r.outEnd, &r.sentSome)
	if !r.opening(now, seg) {
		return
	}
	r.windowOut.add(int32(seg.Window) << l.scaleOut)
	if seg.PayloadLen() > 0 {
		l.countAfterFIN()
	}
	if seg.Flags.Has(endpoint.FIN) {
		first(&r.finOut, now)
	}
}

// countAfterFIN counts a segment with data if it is new and follows a FIN.
func (l *leg) countAfterFIN() {
	r := &l.record
	if !r.again && (r.finOut != 0 || r.finIn != 0) && l.dataAfterFIN < math.MaxUint16 {
		l.dataAfterFIN++
	}
}

// opening notes a segment of the handshake; it tells whether the segment is
// none, and its window and payload are to be looked at.
func (r *legRecord) opening(now endpoint.Time, seg *endpoint.Segment) (past bool) {
	switch {
	case seg.Flags.Has(endpoint.RST):
	case !seg.Flags.Has(endpoint.SYN):
		return true
	case seg.Flags.Has(endpoint.ACK):
		first(&r.synACK, now)
	default:
		first(&r.syn, now)
	}
	return false
}

// passed tells whether a segment that occupies sequence space ends no later
// than others before it did, and moves the mark where it does not.
func passed(seg *endpoint.Segment, end *endpoint.Seq, some *bool) bool {
	if seg.Len() == 0 || seg.Flags.Has(endpoint.RST) {
		return false
	}
	e := seg.End()
	if *some && !e.After(*end) {
		return true
	}
	*end, *some = e, true
	return false
}

// first keeps the moment at which something happened for the first time.
func first(at *endpoint.Time, now endpoint.Time) {
	if *at == 0 {
		*at = now
	}
}
