package splice

import (
	"net/netip"

	"tcpmitm/endpoint"
)

// Killed is a connection that an operator has ended.
type Killed struct {
	Conn           uint64
	Client, Server netip.AddrPort // as the client addressed it
	Rule           string
}

// Kill ends live connections that an operator has chosen, at most limit of
// them and only those with numbers up to newest, and appends them to list. It
// belongs to the shard's goroutine: ask with Do. The RSTs leave with the next
// Transmit.
func (s *Shard) Kill(now endpoint.Time, list []Killed, limit int, newest uint64, choose Chooser) []Killed {
	for f := s.live.first; f != nil && limit > 0; {
		next := f.next
		if f.id <= newest && !f.condemned && choose.means(now, f) {
			list = append(list, Killed{f.id, f.clientAddr(), f.serverAddr(), f.profile.rule})
			s.kill(now, f)
			limit--
		}
		f = next
	}
	return list
}

// NewestConn is the number of the connection that was numbered last, by
// whichever shard.
func (s *Shard) NewestConn() uint64 { return s.budget.lastConn.Load() }

// kill ends a connection: both peers get a RST with the number that they
// expect next, however long they have been silent. What its rule holds back,
// and what it still meant to do, is forgotten; a leg that a fault has let
// vanish is heard of once more. Then the flow lingers as after any RST, so
// that a peer that did not get it gets another.
func (s *Shard) kill(now endpoint.Time, f *flow) {
	f.condemned = true
	f.closed("tcpmitm", ByOperator)
	f.cause = letterOf("tcpmitm", ByOperator)
	s.counters.Killed++
	f.stage.Close()
	f.stage = nil
	c := &f.legs[endpoint.Client]
	switch {
	case f.phase == knocking:
		// The SYN never came through the faults of the rule.
		s.sendReset(now, f, endpoint.Client, &endpoint.Segment{Seq: c.irs, Flags: endpoint.SYN})
		s.abandon(now, f)
		return
	case f.syn != nil:
		s.refuse(now, f)
		f.ended(endpoint.Client)
	}
	for l := range f.legs {
		if leg := &f.legs[l]; leg.vanished {
			leg.vanished = false
			leg.record.ender = f.cause
		}
		s.abort(now, f, endpoint.Leg(l))
	}
	if f.acts != nil {
		f.acts.adrift, f.acts.until = false, endpoint.Never
	}
	s.markDirty(f)
}
