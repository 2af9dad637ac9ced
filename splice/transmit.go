package splice

import "tcpmitm/endpoint"

// send sends all that a leg's endpoint has to send.
func (s *Shard) send(now endpoint.Time, f *flow, l endpoint.Leg) {
	leg := &f.legs[l]
	if leg.ep == nil || leg.vanished {
		return
	}
	for n := 0; ; n++ {
		if n == maxSegmentsPerTurn {
			s.markDirty(f)
			break
		}
		before := leg.ep.State()
		if !leg.ep.PollSegment(now, &s.seg) {
			break
		}
		if s.seg.Flags.Has(endpoint.SYN) {
			leg.offeredScale = s.seg.Options.Has&endpoint.HasWindowScale != 0
			leg.offered = s.seg.Options.WindowScale
			leg.settleScale()
		}
		f.record(l)
		s.leave(now, f, l, &s.seg, before)
	}
	leg.note()
	f.record(l)
	if f.watched {
		s.reach(now, f, l, true)
	}
}

// depart sends a segment of a flow on to the leg's peer: it is on the wire
// now. Note says what the stage did to it.
func (s *Shard) depart(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment, h Header, before endpoint.State, note string) {
	leg := &f.legs[l]
	leg.recordOut(now, seg)
	s.emit(l, &leg.out, h, seg)
	if s.segments == nil && s.wires == nil {
		return
	}
	if note == "" {
		note = f.noteHeld(l, seg)
	}
	if s.wires != nil {
		s.sniff(now, f, l, true, seg, WireEvent{Head: h, Note: note})
	}
	if s.segments == nil {
		return
	}
	s.observe(now, f, l, true, seg, before, endpoint.ReasonNone, note)
}

// emit gives a segment to the device. What the device cannot take is lost,
// as on any wire: retransmission repairs it.
func (s *Shard) emit(l endpoint.Leg, out *endpoint.Tuple, h Header, seg *endpoint.Segment) {
	s.counters.SegmentsOut[l]++
	s.sent(s.dev.Send(l, out, h, seg))
}

func (s *Shard) sent(err error) {
	if err != nil {
		s.counters.SendErrors++
	}
}
