package splice

// LegCounters sum up what the legs of one kind have done so far, those of live
// connections included.
type LegCounters struct {
	Handshakes      uint64 // that were completed
	Retransmits     uint64
	Timeouts        uint64    // of the retransmission timer
	FastRecoveries  uint64    // losses repaired without a time-out
	PeerRetransmits uint64    // segments that came again
	Handshake       Histogram // from SYN to ESTABLISHED
}

func (c *LegCounters) add(o *LegCounters) {
	c.Handshakes += o.Handshakes
	c.Retransmits += o.Retransmits
	c.Timeouts += o.Timeouts
	c.FastRecoveries += o.FastRecoveries
	c.PeerRetransmits += o.PeerRetransmits
	c.Handshake.merge(&o.Handshake)
}

// establish counts a handshake that has just been completed.
func (c *LegCounters) establish(r *legRecord) {
	if d := since(r.syn, r.established); d != NotYet {
		c.Handshakes++
		c.Handshake.add(d)
	}
}

// counted is how much of what a leg has done LegCounters have in them already.
type counted struct {
	retransmits, timeouts, fastRecoveries, peerRetransmits uint32
}

// repairs is how much there is to be counted of a leg that has an endpoint.
func (l *leg) repairs() counted {
	c := counted{peerRetransmits: l.record.peerRetransmits}
	c.retransmits, c.timeouts, c.fastRecoveries = l.ep.Repairs()
	return c
}

// account adds what the leg has done since the last call. Most often there is
// nothing to add.
func (c *LegCounters) account(l *leg) {
	if l.ep == nil {
		return
	}
	now, had := l.repairs(), &l.counted
	if now == *had {
		return
	}
	c.Retransmits += uint64(now.retransmits - had.retransmits)
	c.Timeouts += uint64(now.timeouts - had.timeouts)
	c.FastRecoveries += uint64(now.fastRecoveries - had.fastRecoveries)
	c.PeerRetransmits += uint64(now.peerRetransmits - had.peerRetransmits)
	*had = now
}

// account brings the counters up to what the flow's legs have done.
func (s *Shard) account(f *flow) {
	for l := range f.legs {
		s.counters.Legs[l].account(&f.legs[l])
	}
}
