package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// onSYN tells whether a fault is on a new connection's SYN, before there is a
// connection.
func onSYN(f *rules.Fault) bool {
	return f.Do == rules.Refuse || f.Do == rules.Ignore || f.Do == rules.ICMP && f.On == rules.SYN
}

// faultSYN lets the faults of a rule answer a SYN in the place of the server,
// and tells whether one did. Every SYN that comes to the rule is a try, also
// one that is sent again: silence is what makes a client do that.
func (s *Shard) faultSYN(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple, d *decision) (rules.Action, bool) {
	r := d.rule
	m := s.profileOf(r).moments
	if m == nil || len(m.syn) == 0 || r.Stopped() {
		return 0, false
	}
	try := r.Try()
	for _, i := range m.syn {
		f := &r.Faults[i]
		if !chooses(&f.Which, r.Seed, try, i) {
			continue
		}
		s.number(d)
		if f.Do != rules.Ignore {
			s.reportRuled(now, key, d, m.texts[i])
		}
		s.firedOnSYN(now, p, key, m, i, d.conn)
		switch f.Do {
		case rules.Refuse:
			return rules.Reset, true
		case rules.ICMP:
			e := unreachableBy(&key, f)
			s.sent(s.dev.SendUnreachable(endpoint.Client, Header{Loopback: towardsCaller(p)}, &e, &key, &p.Segment))
		}
		return rules.Drop, true
	}
	return 0, false
}

// firedOnSYN tells of a fault that has answered a SYN, or ignored it. The
// number of one that was ignored is that of the connection that the same SYN,
// sent again, may become.
func (s *Shard) firedOnSYN(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple, m *moments, i int, conn uint64) {
	m.rule.Fire(i)
	s.counters.Faults++
	if s.opt.Observer == nil {
		return
	}
	s.fault = FaultEvent{
		At: now, Conn: conn, Client: key.Source(), Server: key.Destination(), Rule: m.rule.Name,
		Fault: i, Text: m.texts[i], Leg: endpoint.Client, Do: m.rule.Faults[i].Do,
		HasSegment: true, Seq: p.Seq, IRS: p.Seq, Flags: p.Flags, Window: p.Window, Len: p.PayloadLen(),
	}
	s.opt.Observer.Fault(&s.fault)
}
