package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// A flow holds one place of the budget's connections, and of its source's,
// from its making until its legs are done, and one of the half-open handshakes
// until both sides are connected. What only lingers (TIME-WAIT) holds none: it
// is small, and bounded by maxLingering and maxWaiting.

// What is charged to the memory of the pool beside its buffers, in octets:
// more than a spliced connection without data takes (memory_test.go), with its
// two entries in the flow table and what the collector of garbage needs.
const (
	flowOctets    = 4 << 10
	waitingOctets = 1 << 10
)

// charge counts memory that is no buffer.
func (s *Shard) charge(n int64) {
	if p := s.opt.Endpoint.Pool; p != nil {
		p.Charge(n)
	}
}

// takePlace reserves all places of a new flow of the client that sends with
// key, or tells which limit is reached.
func (s *Shard) takePlace(now endpoint.Time, f *flow, key *endpoint.Tuple) endpoint.Reason {
	if why := s.fullHouse(key); why != endpoint.ReasonNone {
		return why
	}
	b := s.budget
	if n := b.connections.Add(1); b.Connections > 0 && n > b.Connections {
		b.connections.Add(-1)
		return endpoint.ReasonOverLimit
	}
	if b.sources != nil {
		if n := b.sources.add(key, 1); n > b.PerSource {
			b.sources.add(key, -1)
			b.connections.Add(-1)
			return endpoint.ReasonOverSource
		}
	}
	b.halfOpen.Add(1)
	if b.halfSources != nil {
		b.halfSources.add(key, 1)
	}
	f.holdsPlace, f.holdsHalf = true, true
	if f.id == 0 {
		f.id = b.lastConn.Add(1)
	}
	f.opened = now
	s.counters.Opened++
	s.counters.HalfOpen++
	return endpoint.ReasonNone
}

// fullHouse tells which limit leaves no room for a connection of the client
// that sends with key at present.
func (s *Shard) fullHouse(key *endpoint.Tuple) endpoint.Reason {
	b := s.budget
	switch {
	case s.opt.Endpoint.Pool != nil && s.opt.Endpoint.Pool.Full():
		return endpoint.ReasonOverMemory
	case b.Connections > 0 && b.connections.Load() >= b.Connections:
		return endpoint.ReasonOverLimit
	case b.sources != nil && b.sources.of(key) >= b.PerSource:
		return endpoint.ReasonOverSource
	}
	return endpoint.ReasonNone
}

// crowded tells which limit of handshakes in progress is reached.
func (s *Shard) crowded(key *endpoint.Tuple) endpoint.Reason {
	b := s.budget
	switch {
	case b.HalfOpen > 0 && b.halfOpen.Load() >= b.HalfOpen:
		return endpoint.ReasonOverHalfOpen
	case b.halfSources != nil && b.halfSources.of(key) >= b.HalfOpenPerSource:
		return endpoint.ReasonOverHalfOpenSource
	}
	return endpoint.ReasonNone
}

// withinLimits turns the decision to splice into what the limits leave of it.
func (s *Shard) withinLimits(now endpoint.Time, p *endpoint.Packet, key *endpoint.Tuple, d decision, f *flow) decision {
	// A copy of a SYN that has its cookie already gets the same again: one
	// that is let past would make two connections of it.
	answered := d.cookie
	d.cookie = false
	if !answered {
		if why := s.fullHouse(key); why != endpoint.ReasonNone {
			// A cookie would be a promise that nobody keeps.
			return s.overLimit(why)
		}
	}
	why := s.crowded(key)
	wanted := s.opt.Cookies == CookiesAlways || why != endpoint.ReasonNone && s.opt.Cookies == CookiesAuto
	if answered || wanted && s.canCookie(p, d.rule) {
		if !answered && !s.repeats.answers(now, &s.cookies, key, p.Seq) {
			s.syns.refused(now, s.budget, key)
			s.drop(endpoint.ReasonSYNRate)
			return decision{action: rules.Drop, fleeting: true}
		}
		d.cookie = true
		return d
	}
	if why != endpoint.ReasonNone {
		s.syns.refused(now, s.budget, key)
		return s.overLimit(why)
	}
	f.id = d.conn
	if why := s.takePlace(now, f, key); why != endpoint.ReasonNone {
		return s.overLimit(why)
	}
	return d
}

// overLimit is the decision about a connection that there is no room for.
func (s *Shard) overLimit(why endpoint.Reason) decision {
	s.drop(why)
	if s.opt.OverLimit == rules.Splice {
		return decision{action: rules.Pass}
	}
	return decision{action: s.opt.OverLimit, fleeting: s.opt.OverLimit == rules.Drop}
}

// giveHalf gives the place among the handshakes back.
func (s *Shard) giveHalf(f *flow) {
	if f.holdsHalf {
		f.holdsHalf = false
		s.budget.halfOpen.Add(-1)
		if c := s.budget.halfSources; c != nil {
			in := f.legs[endpoint.Client].in()
			c.add(&in, -1)
		}
		s.counters.HalfOpen--
	}
}

// givePlace gives all places back.
func (s *Shard) givePlace(f *flow) {
	s.giveHalf(f)
	if f.holdsPlace {
		f.holdsPlace = false
		s.budget.connections.Add(-1)
		if c := s.budget.sources; c != nil {
			in := f.legs[endpoint.Client].in()
			c.add(&in, -1)
		}
	}
}
