package splice

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// numHeldKinds is how many kinds of segments endpoints hold.
const numHeldKinds = int(endpoint.HeldFIN) + 1

// heldKinds are the kinds that endpoints hold, as faults name them.
var heldKinds = map[rules.On]endpoint.HeldKind{
	rules.SYNACK: endpoint.HeldSYNACK, rules.ACK: endpoint.HeldACK,
	rules.LastACK: endpoint.HeldLastACK, rules.FIN: endpoint.HeldFIN,
}

// holder answers the endpoint of one leg which of its decided segments are
// held back (endpoint.Holder).
type holder struct {
	shard *Shard
	flow  *flow
	leg   endpoint.Leg
	// note is what to tell the observer when the segment leaves.
	note [numHeldKinds]string
}

// Hold implements endpoint.Holder: the first of the rule's faults that is on
// such a segment and chooses this one decides.
func (h *holder) Hold(now endpoint.Time, k endpoint.HeldKind) time.Duration {
	f, p := h.flow, h.flow.moments
	for _, i := range p.held[h.leg][k] {
		flt, a := &p.rule.Faults[i], f.acts
		if p.rule.Stopped() || flt.Do == rules.Hold && f.legs[h.leg].came.has(flt.Until) {
			continue
		}
		if flt.Retransmits.Set && flt.Retransmits.Value || !faults.Inside(&flt.Which, h.established(), now) {
			continue
		}
		if !a.counts[i].Choose(&flt.Which, p.rule.Seed, f.ordinal, i) {
			continue
		}
		by := faults.LongestHold
		if flt.Do == rules.Delay {
			by = min(jittered(flt, p.rule.Seed, f.ordinal, i, a.draw()), faults.LongestHold)
		}
		h.shard.fired(now, f, i, by, 0)
		h.note[k] = p.notes[i]
		return by
	}
	return 0
}

// holdsKind tells whether segments of a kind may be held on a leg.
func (m *moments) holdsKind(l endpoint.Leg, k endpoint.HeldKind) bool {
	return m != nil && len(m.held[l][k]) > 0
}

// established is when the leg became so.
func (h *holder) established() endpoint.Time {
	if at := h.flow.legs[h.leg].record.established; at != 0 {
		return at
	}
	return endpoint.Never
}

// saltJitter tells the draws of jitter from those of choice.
const saltJitter = 1 << 32

// jittered is how long fault i delays this time.
func jittered(f *rules.Fault, seed, ordinal uint64, i int, n uint64) time.Duration {
	if f.Jitter == 0 {
		return f.By
	}
	draw := rules.Draw(seed, ordinal, uint64(i), saltJitter, n)
	return max(0, f.By+time.Duration((2*draw-1)*float64(f.Jitter)))
}

// holderOf is what the endpoint of a leg asks; nil if nothing of the leg is
// ever held.
func (s *Shard) holderOf(f *flow, l endpoint.Leg) endpoint.Holder {
	if f.moments == nil || !f.moments.holds[l] {
		return nil
	}
	h := &f.acts.holders[l]
	h.shard, h.flow, h.leg = s, f, l
	return h
}

// release lets out what is held until the leg comes to a moment.
func (s *Shard) release(now endpoint.Time, f *flow, l endpoint.Leg, moment rules.On) {
	for k := range numHeldKinds {
		for _, i := range f.moments.held[l][k] {
			if flt := &f.by.Faults[i]; flt.Do == rules.Hold && flt.Until == moment {
				f.legs[l].ep.ReleaseHeld(now, endpoint.HeldKind(k))
			}
		}
	}
}

// noteHeld says, of a segment that leaves, that it was held.
func (f *flow) noteHeld(l endpoint.Leg, seg *endpoint.Segment) string {
	if f.acts == nil || seg.Flags.Has(endpoint.RST) {
		return ""
	}
	notes := &f.acts.holders[l].note
	k := endpoint.HeldACK
	switch {
	case seg.Flags.Has(endpoint.SYN):
		k = endpoint.HeldSYNACK
	case seg.Flags.Has(endpoint.FIN):
		k = endpoint.HeldFIN
	case seg.PayloadLen() > 0:
		// It takes a held ACK along.
		notes[endpoint.HeldACK], notes[endpoint.HeldLastACK] = "", ""
		return ""
	case notes[endpoint.HeldLastACK] != "":
		k = endpoint.HeldLastACK
	}
	n := notes[k]
	notes[k] = ""
	return n
}
