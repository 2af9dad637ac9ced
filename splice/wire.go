package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// stageHost is who a flow's stage works for: the shard, and the flow that the
// present call is about.
type stageHost struct {
	shard *Shard
	flow  *flow
	// before is the state of the leg before the endpoint emitted the segment
	// that is on its way through the stage, if emitting is set.
	before   endpoint.State
	emitting bool
}

// hostOf is the host for one call of a flow's stage.
func (s *Shard) hostOf(f *flow) *stageHost {
	s.host.shard, s.host.flow = s, f
	return &s.host
}

// Pass implements faults.Host.
func (h *stageHost) Pass(now endpoint.Time, l endpoint.Leg, out bool, seg *endpoint.Segment, head endpoint.IPHeader, note string) {
	s, f := h.shard, h.flow
	if !out {
		if f.legs[l].vanished {
			s.drop(endpoint.ReasonVanished) // it was kept until after that
			return
		}
		s.deliver(now, f, l, seg, note)
		return
	}
	before := f.legs[l].state()
	if h.emitting {
		before = h.before
	}
	s.depart(now, f, l, seg, head, before, note)
}

// Fired implements faults.Host.
func (h *stageHost) Fired(now endpoint.Time, e *faults.Event) {
	s, f := h.shard, h.flow
	s.counters.Faults++
	if e.Fault.Do == rules.Corrupt && !e.Out {
		s.drop(endpoint.ReasonBadChecksum)
	}
	leg := &f.legs[e.Leg]
	v := &s.fault
	*v = FaultEvent{
		At:         now,
		Conn:       f.id,
		Client:     f.clientAddr(),
		Server:     f.serverAddr(),
		Rule:       f.profile.rule,
		Fault:      e.Index,
		Text:       e.Text,
		Leg:        e.Leg,
		Out:        e.Out,
		Do:         e.Fault.Do,
		By:         e.By,
		N:          e.N,
		HasSegment: true,
		Seq:        e.Seg.Seq,
		Ack:        e.Seg.Ack,
		ISS:        leg.iss,
		IRS:        leg.irs,
		Flags:      e.Seg.Flags,
		Window:     e.Seg.Window,
		Len:        e.Seg.PayloadLen(),
	}
	if !e.Out && e.Seg.Flags.Has(endpoint.SYN) {
		v.IRS = e.Seg.Seq // nobody has learnt it yet
	}
	s.report(f, v)
	switch {
	case !e.Out:
		s.acted = true
	case e.Fault.Do == rules.Lose && s.wires != nil:
		s.sniff(now, f, e.Leg, true, e.Seg, WireEvent{Head: leg.header, Lost: true})
	}
}

// arrive lets a segment of a leg's peer in, past the faults of its rule.
func (s *Shard) arrive(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment) {
	s.counters.SegmentsIn[l]++
	if s.wires != nil && (f.stage == nil || f.legs[l].vanished) {
		s.sniff(now, f, l, false, seg, WireEvent{})
	}
	if f.acts != nil && s.heardAdrift(now, f, l) {
		return
	}
	if f.stage == nil {
		s.deliver(now, f, l, seg, "")
		return
	}
	s.markDirty(f)
	s.acted = false
	f.stage.Handle(now, l, false, seg, endpoint.IPHeader{}, s.hostOf(f))
	if s.wires == nil {
		return
	}
	// Only now is it known what the faults did to it.
	s.sniff(now, f, l, false, seg, WireEvent{Acted: s.acted})
}

// leave lets a segment of ours out, past the faults of its rule; before is
// the leg's state before it was decided.
func (s *Shard) leave(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment, before endpoint.State) {
	if f.stage == nil {
		s.depart(now, f, l, seg, f.legs[l].header, before, "")
		return
	}
	h := s.hostOf(f)
	h.before, h.emitting = before, true
	f.stage.Handle(now, l, true, seg, f.legs[l].header, h)
	h.emitting = false
}

// wireTimeout lets out what the stage of a flow has held for long enough.
func (s *Shard) wireTimeout(now endpoint.Time, f *flow) {
	if f.stage != nil {
		f.stage.Release(now, s.hostOf(f))
	}
}
