package nfq

import (
	"encoding/binary"
	"net/netip"

	"tcpmitm/endpoint"
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) errors that say something
// about a TCP connection. Source quench is not among them (RFC 6633).
const (
	icmpUnreachable  = 3
	icmpTimeExceeded = 11
	icmpParameter    = 12

	icmpFragmentationNeeded = 4 // a code of icmpUnreachable

	icmpv6Unreachable  = 1
	icmpv6TooBig       = 2
	icmpv6TimeExceeded = 3
	icmpv6Parameter    = 4
)

// quotedTCP is how many octets of the TCP header an ICMP error must quote:
// the ports and the sequence number (RFC 792).
const quotedTCP = 8

// decodeICMP reads an ICMP error about a TCP segment. The packet's tuple and
// sequence number become those of the segment that it quotes.
func (d *decoder) decodeICMP(l4 *transport, verify bool, p *endpoint.Packet) (endpoint.Reason, endpoint.Verdict) {
	m := l4.b
	if len(m) < icmpHeaderLen || l4.missing > 0 {
		return endpoint.ReasonTruncated, endpoint.Accept
	}
	v4 := l4.protocol == protoICMP
	if v4 != (len(l4.src) == 4) {
		return endpoint.ReasonBadIPHeader, endpoint.Accept
	}
	if verify {
		var acc uint64
		if !v4 {
			acc = pseudoSum(l4.src, l4.dst, protoICMPv6, len(m))
		}
		if fold(sum(acc, m)) != 0xffff {
			return endpoint.ReasonBadChecksum, endpoint.Take
		}
	}
	d.icmp = endpoint.ICMPError{
		From: netip.AddrFrom16(p.Src).Unmap(),
		To:   netip.AddrFrom16(p.Dst).Unmap(),
		Type: m[0],
		Code: m[1],
	}
	ok := false
	if v4 {
		ok = d.quotedIPv4(m, p)
	} else {
		ok = d.quotedIPv6(m, p)
	}
	if !ok {
		return endpoint.ReasonBadICMP, endpoint.Accept
	}
	p.ICMP = &d.icmp
	return endpoint.ReasonNone, endpoint.Accept
}

func (d *decoder) quotedIPv4(m []byte, p *endpoint.Packet) bool {
	switch m[0] {
	case icmpUnreachable:
		if m[1] == icmpFragmentationNeeded {
			d.icmp.MTU = int(binary.BigEndian.Uint16(m[6:])) // RFC 1191, 4
		}
	case icmpTimeExceeded, icmpParameter:
	default:
		return false
	}
	q := m[icmpHeaderLen:]
	if len(q) < ipv4HeaderLen || q[0]>>4 != 4 || q[9] != protoTCP {
		return false
	}
	n := int(q[0]&15) * 4
	// Only the first fragment has the TCP header.
	if n < ipv4HeaderLen || len(q) < n+quotedTCP || binary.BigEndian.Uint16(q[6:])&0x1fff != 0 {
		return false
	}
	p.Src, p.Dst = mapped(q[12:16]), mapped(q[16:20])
	quotedSegment(q[n:], p)
	return true
}

func (d *decoder) quotedIPv6(m []byte, p *endpoint.Packet) bool {
	switch m[0] {
	case icmpv6TooBig:
		mtu := binary.BigEndian.Uint32(m[4:])
		d.icmp.MTU = int(min(mtu, maxPacket)) // more than any packet has says nothing
	case icmpv6Unreachable, icmpv6TimeExceeded, icmpv6Parameter:
	default:
		return false
	}
	q := m[icmpHeaderLen:]
	if len(q) < ipv6HeaderLen || q[0]>>4 != 6 {
		return false
	}
	next, at, why := skipExtensions(q)
	if why != endpoint.ReasonNone || next != protoTCP || len(q) < at+quotedTCP {
		return false
	}
	if isMapped(q[8:24]) || isMapped(q[24:40]) {
		return false // an ICMPv6 error says nothing about an IPv4 connection
	}
	copy(p.Src[:], q[8:24])
	copy(p.Dst[:], q[24:40])
	quotedSegment(q[at:], p)
	return true
}

func quotedSegment(tcp []byte, p *endpoint.Packet) {
	p.Segment = endpoint.Segment{Seq: endpoint.Seq(binary.BigEndian.Uint32(tcp[4:]))}
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
}
