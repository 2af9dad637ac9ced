package splice

import "tcpmitm/endpoint"

// settle gives a flow its turn: what happened to one leg is carried over to
// the other, and everything that is to be sent is sent.
func (s *Shard) settle(now endpoint.Time, f *flow) {
	// Sending seldom makes something happen (an abort ends with the RST);
	// when it does, the rest is for the next round.
	s.heed(now, f)
	if f.acts != nil {
		s.watch(now, f)
	}
	if f.phase == relaying {
		s.relay(now, f)
		s.endDoomed(now, f)
		s.heed(now, f)
	}
	for l := range f.legs {
		s.send(now, f, endpoint.Leg(l))
	}
	if f.acts != nil {
		s.watch(now, f)
		s.noticeLonely(now, f)
	}
	s.account(f)
	if f.phase != lingering && f.legs[0].done() && f.legs[1].done() && f.syn == nil && f.phase != knocking {
		s.conclude(now, f)
	}
	if f.phase == lingering && s.letGo(f) {
		return
	}
	s.arm(f)
}

// heed takes the events of both legs and does what follows from them.
func (s *Shard) heed(now endpoint.Time, f *flow) {
	// What one leg's events bring about may be an event of the other (an
	// abort); two passes see all of them, for a leg that ended says no more.
	for range 2 {
		for l := range f.legs {
			ep := f.legs[l].ep
			if ep == nil || f.legs[l].vanished {
				continue
			}
			if ev := ep.TakeEvents(); ev != 0 {
				s.heedLeg(now, f, endpoint.Leg(l), ev)
			}
		}
	}
}

func (s *Shard) heedLeg(now endpoint.Time, f *flow, l endpoint.Leg, ev endpoint.Events) {
	leg := &f.legs[l]
	leg.note()
	if ev.Has(endpoint.EventEstablished) {
		first(&leg.record.established, now)
		s.counters.Legs[l].establish(&leg.record)
		s.connected(now, f, l)
	}
	if ev.Has(endpoint.EventUrgent) {
		leg.urgent = true
	}
	if ev.Has(endpoint.EventPeerClosed) {
		leg.peerClosed = true
		f.closed(l.String(), ByFIN)
		if f.phase == relaying {
			s.startPatience(now, f)
		}
	}
	if ev.Has(endpoint.EventFINDeferred) {
		s.cross(now, f, l)
	}
	switch {
	case f.phase == lingering:
	case ev.Has(endpoint.EventRefused):
		s.counters.Refused++
		f.closed(l.String(), ByRefusal)
		f.ended(l)
		s.refuse(now, f)
		s.abort(now, f, l.Other())
	case leg.parted() && ev&(endpoint.EventReset|endpoint.EventTimeout) != 0:
		// All is said and done on this leg; its peer has not waited for our
		// FIN to come again, or for its own ACK to get through. What the
		// other peer is still to get of it is not lost by that.
		f.ended(l)
	case ev.Has(endpoint.EventReset):
		f.closed(l.String(), ByReset)
		f.ended(l)
		s.bereave(now, f, l.Other())
	case ev.Has(endpoint.EventTimeout):
		// The peer answers no more. While the server was dialled for a
		// client that waits, its silence is passed on as silence; whoever is
		// connected is told by a RST.
		f.closed(l.String(), ByTimeout)
		f.ended(l)
		f.syn = nil
		s.bereave(now, f, l.Other())
	case f.acts != nil && f.acts.adrift:
		// A fault has ended this leg, and this leg alone.
	case ev.Has(endpoint.EventClosed) && !(leg.peerClosed && leg.finPassed):
		// It ended for a reason of its own, half-way: so does the other.
		f.closed("tcpmitm", ByReset)
		f.ended(l)
		s.abort(now, f, l.Other())
	}
}

// connected goes on with the opening of a flow one of whose legs is
// ESTABLISHED now.
func (s *Shard) connected(now endpoint.Time, f *flow, l endpoint.Leg) {
	switch {
	case l == endpoint.Server && f.syn != nil:
		s.answerClient(now, f)
	case l == endpoint.Client && f.legs[endpoint.Server].ep == nil && f.phase == answering:
		// Client first, and the client is there.
		f.phase = dialling
		s.dial(now, f, f.mirror, f.ecn, nil)
	case f.phase == answering || f.phase == dialling:
		f.phase = relaying
		s.spareOptions.giveBack(f.mirror)
		f.mirror = nil
		s.giveHalf(f)
		s.startPatience(now, f)
	}
}
