package splice

import "tcpmitm/endpoint"

// A flow holds one place of the budget's connections from its making until
// its legs are done, and one of its half-open handshakes until both sides are
// connected. What only lingers (TIME-WAIT) holds none: it is small, and
// bounded by maxLingering.

// takePlace reserves both places of a new flow, or tells that the limit of
// connections or of memory is reached.
func (s *Shard) takePlace(now endpoint.Time, f *flow) bool {
	if s.fullHouse() {
		return false
	}
	b := s.budget
	if n := b.connections.Add(1); b.Connections > 0 && n > b.Connections {
		b.connections.Add(-1)
		return false
	}
	b.halfOpen.Add(1)
	f.holdsPlace, f.holdsHalf = true, true
	if f.id == 0 {
		f.id = b.lastConn.Add(1)
	}
	f.opened = now
	s.counters.Opened++
	s.counters.HalfOpen++
	return true
}

// fullHouse tells that the limit of connections or of memory is reached at
// present.
func (s *Shard) fullHouse() bool {
	b := s.budget
	return s.opt.Endpoint.Pool != nil && s.opt.Endpoint.Pool.Full() ||
		b.Connections > 0 && b.connections.Load() >= b.Connections
}

// tooManyHalfOpen tells whether the limit of handshakes is reached.
func (s *Shard) tooManyHalfOpen() bool {
	return s.budget.HalfOpen > 0 && s.budget.halfOpen.Load() >= s.budget.HalfOpen
}

// giveHalf gives the place among the handshakes back.
func (s *Shard) giveHalf(f *flow) {
	if f.holdsHalf {
		f.holdsHalf = false
		s.budget.halfOpen.Add(-1)
		s.counters.HalfOpen--
	}
}

// givePlace gives all places back.
func (s *Shard) givePlace(f *flow) {
	s.giveHalf(f)
	if f.holdsPlace {
		f.holdsPlace = false
		s.budget.connections.Add(-1)
	}
}
