package splice

import "tcpmitm/endpoint"

// Reconsider ends what rules that have been stopped do to connections at
// present: what is held back goes on at once, and not with the next segment,
// and what lasts is over. What cannot be undone, as a leg that has vanished,
// stays as it is.
func (s *Shard) Reconsider() {
	now := s.dev.Now()
	for f := s.live.first; f != nil; f = f.next {
		if f.by == nil || !f.by.Stopped() {
			continue
		}
		s.ease(now, f)
		s.markDirty(f)
	}
}

// ease is Reconsider for one flow; its pipelines look for themselves whether
// the rule is stopped.
func (s *Shard) ease(now endpoint.Time, f *flow) {
	f.stage.Flush(now, s.hostOf(f))
	if f.acts == nil {
		return
	}
	clear(f.acts.active)
	for i := range f.legs {
		l, ep := endpoint.Leg(i), f.legs[i].ep
		f.acts.crossing[i] = endpoint.Never
		s.retune(now, f, l)
		for k := endpoint.HeldKind(0); ep != nil && int(k) < numHeldKinds; k++ {
			ep.ReleaseHeld(now, k)
		}
	}
}
