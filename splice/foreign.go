package splice

import "tcpmitm/endpoint"

// The kernel spreads packets over queues by the client's port, so that a
// shard sees all packets of its flows. Where it does not (a rule of the
// host's own, an ICMP error from somewhere on the path), the packet is copied
// to the shard that it belongs to.

// foreignPacket is a packet on its way from one shard to another.
type foreignPacket struct {
	packet endpoint.Packet
	icmp   endpoint.ICMPError
	next   int // the shard to ask if this one does not know it
}

// clientPortOf guesses which port is the client's. Before connection tracking
// only what clients send is taken, except where the firewall rules cannot
// tell the sides apart; there, the spread goes by the same port.
func clientPortOf(p *endpoint.Packet) uint16 {
	if p.Hook == endpoint.Early || isSYN(&p.Segment) {
		return p.SrcPort
	}
	return p.DstPort
}

// handOver gives a packet that no flow of this shard knows to the shard that
// its client port belongs to, and tells whether that is another one.
func (s *Shard) handOver(p *endpoint.Packet) bool {
	if s.opt.ShardOf == nil || s.peers == nil {
		return false
	}
	owner := s.opt.ShardOf(clientPortOf(p))
	if s.opt.Local && s.opt.ShardOf(p.SrcPort) == s.opt.Index {
		return false // a client's packet, and it has come to the right shard
	}
	if owner == s.opt.Index || owner < 0 || owner >= len(s.peers) {
		return false
	}
	s.mail(s.peers[owner], p, owner)
	return true
}

// handOverError gives an ICMP error about no flow of this shard to those that
// the quoted ports belong to, one after the other: which of the two ports is
// the client's cannot be told. It tells whether there is such a shard.
func (s *Shard) handOverError(p *endpoint.Packet) bool {
	if s.opt.ShardOf == nil || s.peers == nil {
		return false
	}
	first, second := s.opt.ShardOf(p.SrcPort), s.opt.ShardOf(p.DstPort)
	if first == s.opt.Index {
		first, second = second, first
	}
	if first == s.opt.Index {
		return false
	}
	if second == s.opt.Index {
		second = first
	}
	s.mail(s.peers[first], p, second)
	return true
}

// mail copies p into the mailbox of another shard; if that is full, the
// packet is lost. next is the shard to ask after that one.
func (s *Shard) mail(to *Shard, p *endpoint.Packet, next int) {
	c := &foreignPacket{packet: *p, next: next}
	c.packet.Buffer = nil
	c.packet.Payload = append([]byte(nil), p.Payload...)
	c.packet.Raw = append([]byte(nil), p.Raw...)
	if p.ICMP != nil {
		c.icmp = *p.ICMP
		c.packet.ICMP = &c.icmp
	}
	select {
	case to.foreign <- c:
		s.counters.ForeignOut++
		to.dev.Wake()
	default:
		s.drop(endpoint.ReasonForeignShard)
	}
}

// handleForeign judges a packet that another shard has handed over. It was
// dropped there, so what is not ours is sent on.
func (s *Shard) handleForeign(now endpoint.Time, c *foreignPacket) {
	s.counters.ForeignIn++
	p := &c.packet
	if p.ICMP != nil {
		if _, ok := s.flows[p.Tuple.Reverse()]; !ok && c.next != s.opt.Index {
			s.mail(s.peers[c.next], p, c.next)
			return
		}
		if s.handleError(now, p) == endpoint.Accept {
			// Errors are taken on their way to whoever sent the segment, be
			// it client or server; the client leg's device judges nothing.
			s.sent(s.dev.SendPacket(endpoint.Client, p))
		}
		return
	}
	if ref, ok := s.flows[p.Tuple]; ok && ref.leg == endpoint.Server {
		// It is not to go on, even if it was taken before its time.
		p.Hook = endpoint.Late
	}
	if s.HandlePacket(now, p) == endpoint.Accept {
		s.sent(s.dev.SendPacket(endpoint.Server, p))
	}
}
