package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// The wire stage stands between the kernel and the endpoints: what a rule
// does to arriving segments is done here, and no endpoint knows of it.
//
// Bounds, in segments: beyond maxHeldInFlow, or maxHeldInShard in all flows
// together, nothing more is held.
const (
	maxHeldInFlow  = 64
	maxHeldInShard = 1 << 16
)

const kindACK = rules.ACK

// heldSegment is a segment that has arrived and is kept back.
type heldSegment struct {
	due  endpoint.Time
	leg  endpoint.Leg
	kind rules.On
	seg  endpoint.Segment
	keep endpoint.Chunk // holds the payload
}

// wireStage is one flow's part of the stage.
type wireStage struct {
	held []heldSegment // in the order of arrival
	// passed tells which kinds have been let through on each leg: a SYN-ACK
	// or FIN is held once, and when the peer sends it again it is not.
	passed [2][numKinds]bool
}

// next is when the first of the held segments is due.
func (w *wireStage) next() endpoint.Time {
	at := endpoint.Never
	for i := range w.held {
		at = min(at, w.held[i].due)
	}
	return at
}

// hold keeps an arriving segment back if the leg's profile says so, and tells
// whether it did.
func (s *Shard) hold(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment) bool {
	ep := f.legs[l].ep
	if ep == nil {
		return false
	}
	k, ok := kindOf(seg, ep.State())
	if !ok {
		return false
	}
	by := f.profile.legs[l].holdIn[k]
	if by <= 0 {
		return false
	}
	w := &f.wire
	if k != kindACK {
		if w.passed[l][k] {
			return false
		}
		// The peer, without an answer, sends it again while the first one is
		// held: that one stands for all.
		for i := range w.held {
			if w.held[i].leg == l && w.held[i].kind == k {
				return true
			}
		}
	}
	if len(w.held) >= maxHeldInFlow || s.inWire >= maxHeldInShard {
		s.counters.WireFull++
		return false
	}
	s.keep(f, heldSegment{due: now.Add(by), leg: l, kind: k, seg: *seg})
	s.markDirty(f)
	return true
}

// keep stores a segment beyond the call that brought it.
func (s *Shard) keep(f *flow, h heldSegment) {
	if n := len(h.seg.Payload); n > 0 {
		switch {
		case h.seg.Buffer != nil:
			h.keep = endpoint.NewChunk(h.seg.Payload, h.seg.Buffer)
		default:
			h.seg.Payload = append([]byte(nil), h.seg.Payload...)
		}
	} else {
		h.seg.Payload, h.seg.Buffer = nil, nil
	}
	f.wire.held = append(f.wire.held, h)
	s.inWire++
}

// wireTimeout delivers the held segments that are due, in the order in which
// they came.
func (s *Shard) wireTimeout(now endpoint.Time, f *flow) {
	w := &f.wire
	for i := 0; i < len(w.held); {
		if w.held[i].due > now {
			i++
			continue
		}
		h := w.held[i]
		w.held = append(w.held[:i], w.held[i+1:]...)
		s.inWire--
		w.passed[h.leg][h.kind] = true
		s.deliver(now, f, h.leg, &h.seg, f.profile.legs[h.leg].noteIn[h.kind])
		h.keep.Release()
	}
}

// dropWire forgets what is held of a flow that is over.
func (s *Shard) dropWire(f *flow) {
	for i := range f.wire.held {
		f.wire.held[i].keep.Release()
	}
	s.inWire -= len(f.wire.held)
	f.wire.held = nil
}
