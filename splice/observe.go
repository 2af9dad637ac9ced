package splice

import "tcpmitm/endpoint"

// observe tells the observer of one segment.
func (s *Shard) observe(now endpoint.Time, f *flow, l endpoint.Leg, out bool, seg *endpoint.Segment,
	before endpoint.State, why endpoint.Reason, note string) {
	leg := &f.legs[l]
	e := &s.event
	*e = SegmentEvent{
		At:      now,
		Conn:    f.id,
		Client:  f.clientAddr(),
		Server:  f.serverAddr(),
		Rule:    f.profile.rule,
		Leg:     l,
		Out:     out,
		Seq:     seg.Seq,
		Ack:     seg.Ack,
		ISS:     leg.iss,
		IRS:     leg.irs,
		Flags:   seg.Flags,
		Window:  seg.Window,
		Options: seg.Options,
		Len:     seg.PayloadLen(),
		Before:  before,
		After:   before,
		Reason:  why,
		Note:    note,
		Again:   leg.record.again && seg.Len() > 0 && !seg.Flags.Has(endpoint.RST),
		Segment: seg,
	}
	if leg.ep != nil {
		e.After = leg.ep.State()
	}
	switch {
	case seg.Flags.Has(endpoint.SYN):
		// The window of a SYN is never scaled (RFC 7323, 2.2).
	case out:
		e.Scale = leg.scaleOut
	default:
		e.Scale = leg.scaleIn
	}
	s.segments.Segment(e)
	e.Segment = nil
}

// ByRule tells that the segment's note is about what a rule did to it, and not
// about the order of the handshakes.
func (e *SegmentEvent) ByRule() bool {
	return e.Note != "" && e.Note != noteHeld && e.Note != noteHeldAgain
}

// Watch tells whether the shard's observer is to be told of segments from now
// on. It belongs to the shard's goroutine: ask with Do.
func (s *Shard) Watch(on bool) {
	s.segments = nil
	if on {
		s.segments = s.opt.Observer
	}
}
