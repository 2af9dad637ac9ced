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
	s.mail(s.peers[owner], p)
	return true
}

// copyOver shows an ICMP error that is about no flow of this shard to those
// that the quoted ports belong to. The original goes on: it may be about a
// connection that we have nothing to do with.
func (s *Shard) copyOver(p *endpoint.Packet) {
	if s.opt.ShardOf == nil || s.peers == nil {
		return
	}
	a, b := s.opt.ShardOf(p.SrcPort), s.opt.ShardOf(p.DstPort)
	for i, peer := range s.peers {
		if i != s.opt.Index && (i == a || i == b) {
			s.mail(peer, p)
		}
	}
}

// mail copies p into the mailbox of another shard; if that is full, the
// packet is lost.
func (s *Shard) mail(to *Shard, p *endpoint.Packet) {
	c := &foreignPacket{packet: *p}
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
func (s *Shard) handleForeign(now endpoint.Time, p *endpoint.Packet) {
	s.counters.ForeignIn++
	if p.ICMP != nil {
		if ref, ok := s.flows[p.Tuple.Reverse()]; ok && ref.flow != nil {
			s.handleICMP(now, p)
		}
		return
	}
	if ref, ok := s.flows[p.Tuple]; ok && ref.leg == endpoint.Server {
		// It is not to go on, even if it was taken before its time.
		p.Hook = endpoint.Late
	}
	if s.HandlePacket(now, p) == endpoint.Accept {
		s.sent(s.dev.SendPacket(endpoint.Server, p.Raw))
	}
}
