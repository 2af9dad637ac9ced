package splice

import (
	"net/netip"

	"tcpmitm/endpoint"
)

// HandlePacket tells the shard of a packet that was taken from the kernel at
// now, and says what becomes of it. Only states change; what there is to send
// leaves with the next Transmit.
func (s *Shard) HandlePacket(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
	s.taken = p
	if p.ICMP != nil {
		return s.handleICMP(now, p)
	}
	if isSYN(&p.Segment) {
		if p.Options.Has&endpoint.HasMalformed != 0 && p.Hook == endpoint.Late {
			// Its options cannot be mirrored (MUST-7). Whoever means it sends
			// a better one.
			s.drop(endpoint.ReasonBadOptionLength)
			return endpoint.Take
		}
		if p.Hook == endpoint.Early {
			// New connections are judged after the host's filter.
			if !s.repeatedSYN(p) {
				return endpoint.Accept
			}
		}
		return s.handleSYN(now, p, clientTuple(p))
	}
	ref, ok := s.flows[p.Tuple]
	switch {
	case !ok:
		if w, ok := s.waiting.of[p.Tuple]; ok {
			if w.leg == endpoint.Server && p.Hook == endpoint.Early {
				return endpoint.Accept
			}
			s.handleWaiting(now, w.waiting, w.leg, &p.Segment)
			return endpoint.Take
		}
		return s.handleStray(now, p)
	case ref.leg == endpoint.Server && p.Hook == endpoint.Early:
		// It comes again, with its inner addresses and past the filter.
		return endpoint.Accept
	}
	ref.flow.copyDSCP(ref.leg.Other(), p.DSCP)
	s.arrive(now, ref.flow, ref.leg, &p.Segment)
	return endpoint.Take
}

// isSYN tells a SYN that asks for a new connection, as iptables' --syn does.
func isSYN(seg *endpoint.Segment) bool {
	const mask = endpoint.SYN | endpoint.ACK | endpoint.RST | endpoint.FIN
	return seg.Flags&mask == endpoint.SYN
}

// clientTuple is how the client addressed its SYN: the host may have
// translated the destination meanwhile, and all later packets of the client
// are seen before that.
func clientTuple(p *endpoint.Packet) endpoint.Tuple {
	t := p.Tuple
	if p.Original.IsValid() {
		t.Dst, t.DstPort = p.Original.Addr().As16(), p.Original.Port()
	}
	return t
}

// handleStray judges a packet that is no SYN and belongs to no flow of ours:
// it may acknowledge a SYN cookie, or be another shard's; else it belongs to
// a connection that we know nothing of, and goes on untouched.
func (s *Shard) handleStray(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
	if s.handOver(p) {
		return endpoint.Take
	}
	if v, ok := s.handleOrphan(now, p); ok {
		return v
	}
	// What a client sends is taken early, unless it is on this host; a
	// server's segment acknowledges no cookie, though it may look as if.
	if (p.Hook == endpoint.Early || s.opt.Local) && s.openFromCookie(now, p) {
		return endpoint.Take
	}
	s.drop(endpoint.ReasonNoFlow)
	return endpoint.Accept
}

// handleICMP judges an ICMP error, or has the shard do so that it is about.
func (s *Shard) handleICMP(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
	if _, ok := s.flows[p.Tuple.Reverse()]; !ok && s.handOverError(p) {
		return endpoint.Take
	}
	return s.handleError(now, p)
}

// handleError passes an ICMP error on to the endpoint that sent the segment
// quoted in it.
func (s *Shard) handleError(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
	ref, ok := s.flows[p.Tuple.Reverse()]
	if !ok {
		s.drop(endpoint.ReasonNoFlow)
		return endpoint.Accept
	}
	f, l := ref.flow, &ref.flow.legs[ref.leg]
	if ref.leg == endpoint.Server && f.phase == dialling && p.Seq == l.iss && tellsUnreachable(p) {
		s.unreachable(now, f, p.ICMP)
	} else if l.ep != nil {
		if why := l.ep.HandleICMP(now, p.Seq, p.ICMP); why != endpoint.ReasonNone {
			// It may be about a segment of the real peer's, whose addresses we
			// borrow: the gateway itself reports one that is too big for the
			// next link before we are given it. Only its sender can heed that.
			s.drop(why)
			return endpoint.Accept
		}
	}
	s.markDirty(f)
	return endpoint.Take
}

// ICMP types and codes (RFC 792, RFC 4443).
const (
	icmpUnreachable   = 3
	icmpFragNeeded    = 4 // a code of it
	icmpv6Unreachable = 1
)

// tellsUnreachable tells whether an ICMP error says that the destination
// cannot be reached, and not that packets should be smaller.
func tellsUnreachable(p *endpoint.Packet) bool {
	if p.Tuple.IsIPv4() {
		return p.ICMP.Type == icmpUnreachable && p.ICMP.Code != icmpFragNeeded
	}
	return p.ICMP.Type == icmpv6Unreachable
}

// deliver hands a segment to the endpoint of its leg.
func (s *Shard) deliver(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment, note string) {
	leg := &f.legs[l]
	s.markDirty(f)
	if leg.ep == nil {
		s.drop(s.deliverWithoutEndpoint(now, f, l, seg))
		return
	}
	before := leg.ep.State()
	leg.recordIn(now, seg)
	why := leg.ep.HandleSegment(now, seg)
	s.drop(why)
	after := leg.ep.State()
	if seg.Flags.Has(endpoint.SYN) && after != before && after != endpoint.Closed {
		s.learnSYN(f, l, seg)
	}
	leg.note()
	if s.segments != nil {
		s.observe(now, f, l, false, seg, before, why, note)
	}
	if f.watched {
		s.reach(now, f, l, false)
	}
}

// learnSYN keeps what the other leg needs to know of the peer's SYN or
// SYN-ACK, and what explains its windows.
func (s *Shard) learnSYN(f *flow, l endpoint.Leg, seg *endpoint.Segment) {
	leg := &f.legs[l]
	leg.irs = seg.Seq
	leg.peerOffersScale = seg.Options.Has&endpoint.HasWindowScale != 0
	leg.peerOffered = min(seg.Options.WindowScale, 14)
	if l == endpoint.Server {
		s.spareOptions.giveBack(f.mirror)
		f.mirror = s.spareOptions.keep(seg.Options)
		// A SYN-ACK agrees to ECN with ECE alone (RFC 3168, 6.1.1).
		f.ecn = seg.Flags&(endpoint.ECE|endpoint.CWR) == endpoint.ECE
	}
	leg.settleScale()
}

// settleScale finds the shifts of the leg's windows once both SYNs are known
// (RFC 7323, 2.2: both must have had the option).
func (l *leg) settleScale() {
	l.scaleIn, l.scaleOut = 0, 0
	if l.offeredScale && l.peerOffersScale {
		l.scaleIn, l.scaleOut = l.peerOffered, l.offered
	}
}

// deliverWithoutEndpoint judges a segment for a leg that has no endpoint: the
// client's while the server is dialled, or one that is over.
func (s *Shard) deliverWithoutEndpoint(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment) endpoint.Reason {
	leg := &f.legs[l]
	switch {
	case f.phase == knocking && l == endpoint.Client && isSYN(seg):
		s.open(now, f, seg)
		return endpoint.ReasonNone
	case f.phase == knocking && l == endpoint.Client:
		if seg.Flags.Has(endpoint.RST) && (seg.Seq == leg.irs || seg.Seq == leg.irs+1) {
			f.closed("client", ByReset)
			f.phase = dialling // nobody does any more: it is over
			return endpoint.ReasonNone
		}
		return endpoint.ReasonBadAck
	case f.syn != nil && l == endpoint.Client && isSYN(seg) && seg.Seq == f.syn.Seq:
		// The same SYN again: the client still waits.
		leg.recordIn(now, seg)
		if s.segments != nil {
			s.observe(now, f, l, false, seg, endpoint.Listen, endpoint.ReasonNone, noteHeldAgain)
		}
		return endpoint.ReasonNone
	case f.syn != nil && l == endpoint.Client:
		// The client gives up. Its RST is at its ISN or, for some, behind it.
		if seg.Flags.Has(endpoint.RST) && (seg.Seq == f.syn.Seq || seg.Seq == f.syn.Seq+1) {
			f.closed("client", ByReset)
			s.abort(now, f, endpoint.Server)
			return endpoint.ReasonNone
		}
		return endpoint.ReasonBadAck
	case seg.Flags.Has(endpoint.RST):
		return endpoint.ReasonAfterClose
	case leg.aborted:
		// The RST that ended the leg was lost, or this was under way.
		s.sendReset(now, f, l, seg)
	}
	// A leg that was closed in order says nothing more: a RST now could cut
	// the peer's TIME-WAIT short (RFC 1337).
	return endpoint.ReasonAfterClose
}

// drop counts why a packet changed nothing.
func (s *Shard) drop(why endpoint.Reason) {
	if why != endpoint.ReasonNone {
		s.counters.Reasons[why]++
	}
}

// serverAddr and clientAddr are the addresses as the client knows them.
func (f *flow) clientAddr() netip.AddrPort { return f.legs[endpoint.Client].out.Destination() }
func (f *flow) serverAddr() netip.AddrPort { return f.legs[endpoint.Client].out.Source() }
