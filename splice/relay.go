package splice

import "tcpmitm/endpoint"

// relay carries what has arrived on each leg over to the other.
func (s *Shard) relay(now endpoint.Time, f *flow) {
	for i := range f.legs {
		l := endpoint.Leg(i)
		if f.legs[l.Other()].cut || f.legs[l].doomed {
			s.discard(now, f, l)
		} else if p := s.pipelineTo(f, l.Other()); p != nil {
			s.carryThrough(now, f, l, p)
		} else {
			s.carry(now, f, l)
		}
	}
}

// discard throws away what a peer sends for another to whom the rule has sent
// our FIN already, or who is gone.
func (s *Shard) discard(now endpoint.Time, f *flow, l endpoint.Leg) {
	from := &f.legs[l]
	if from.ep == nil {
		return
	}
	for {
		c, ok := from.ep.Read(now, from.ep.Readable())
		if !ok {
			return
		}
		c.Release()
	}
}

// carry moves octets from one leg to the other for as long as the other has
// room. What it has no room for stays in the receive buffer of the leg it
// came in on and so shuts that peer's window: both buffers together bound
// what one direction can hold.
//
// Urgent data stays in the stream, and the pointer to its end is passed on
// (RFC 9293, 3.8.5; RFC 6093): both streams have the same octets. Where a
// policy changes them there is no such place, and none is named.
//
// The FIN follows the last octet and closes this direction alone; the other
// one stays open for as long as it likes (RFC 9293, 3.6).
func (s *Shard) carry(now endpoint.Time, f *flow, l endpoint.Leg) {
	from, to := &f.legs[l], &f.legs[l.Other()]
	if from.ep == nil || from.vanished || to.ep == nil || to.finPassed {
		return
	}
	if st := to.ep.State(); st == endpoint.Closed || st == endpoint.TimeWait {
		return
	}
	if from.urgent {
		// The pointer may be far ahead of the octets: it goes first.
		from.urgent = false
		if n, ok := from.ep.Urgent(); ok {
			to.ep.MarkUrgent(now, n)
		}
	}
	for moved := 0; ; moved++ {
		if moved == maxChunksPerTurn {
			s.markDirty(f)
			return
		}
		space := to.ep.WriteSpace()
		if space <= 0 {
			break
		}
		c, ok := from.ep.Read(now, space)
		if !ok {
			break
		}
		to.written += uint64(len(c.Data))
		s.counters.Octets[l.Other()] += uint64(len(c.Data))
		to.ep.Write(now, c)
	}
	if from.peerClosed && from.ep.Readable() == 0 {
		to.finPassed = true
		to.ep.CloseWrite(now)
	}
}
