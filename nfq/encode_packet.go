package nfq

import (
	"encoding/binary"
	"fmt"

	"tcpmitm/endpoint"
)

// safeMSS is the segment size that a taken super-packet is cut to when it is
// sent on as it is: that of Ethernet, with room for all TCP options.
const safeMSS = 1500 - ipv6HeaderLen - endpoint.MaxHeaderLen

// packet writes a whole IP packet. The IP header is copied, for its TTL
// changes; so is the TCP header, whose checksum is left to the kernel: that
// of a taken packet may not have been filled in, and what is valid stays
// valid. The payload is written where it lies.
func (o *output) packet(w way, packet []byte) error {
	ip, protocol, err := wholePacket(packet)
	if err != nil {
		o.counters.Lost++
		return err
	}
	var v vnetHeader
	headers := ip
	if protocol == protoTCP {
		tcp := packet[ip:]
		if len(tcp) < endpoint.HeaderLen || int(tcp[12]>>4)*4 > len(tcp) || tcp[12]>>4 < 5 {
			o.counters.Lost++
			return fmt.Errorf("TCP header: %w", errNotIP)
		}
		headers += int(tcp[12]>>4) * 4
		v = vnetHeader{flags: vnetNeedsChecksum, headerLen: uint16(headers), checksumStart: uint16(ip), checksumOff: checksumAt}
		if len(packet) > 1500 {
			v.size = safeMSS
			v.gso = vnetTCPv6
			if packet[0]>>4 == 4 {
				v.gso = vnetTCPv4
			}
		}
	}
	if vnetHeaderLen+headers > len(o.head) {
		// Long chains of extension headers or options; the room is for what
		// we send ourselves.
		o.counters.Lost++
		return fmt.Errorf("headers of %d octets: %w", headers, errTooLong)
	}
	b := o.head[:vnetHeaderLen+headers]
	copy(b[vnetHeaderLen:], packet)
	v.put(b)
	if !w.loopback {
		raiseTTL(b[vnetHeaderLen:])
	}
	if v.flags != 0 {
		var pseudo uint64
		if packet[0]>>4 == 4 {
			pseudo = pseudoSum(packet[12:16], packet[16:20], protoTCP, len(packet)-ip)
		} else {
			pseudo = pseudoSum(packet[8:24], packet[24:40], protoTCP, len(packet)-ip)
		}
		binary.BigEndian.PutUint16(b[vnetHeaderLen+ip+checksumAt:], fold(pseudo))
	}
	n := o.load(1, packet[headers:], nil)
	return o.write(w, len(b), n, len(packet))
}

// wholePacket checks that packet is all of an IP packet and finds its
// transport header.
func wholePacket(packet []byte) (ip int, protocol uint8, err error) {
	if len(packet) < ipv4HeaderLen || len(packet) > maxPacket {
		return 0, 0, errNotIP
	}
	switch packet[0] >> 4 {
	case 4:
		ip = int(packet[0]&15) * 4
		if ip < ipv4HeaderLen || ip > len(packet) || int(binary.BigEndian.Uint16(packet[2:])) != len(packet) {
			return 0, 0, errNotIP
		}
		return ip, packet[9], nil
	case 6:
		if len(packet) < ipv6HeaderLen || ipv6HeaderLen+int(binary.BigEndian.Uint16(packet[4:])) != len(packet) {
			return 0, 0, errNotIP
		}
		next, at, why := skipExtensions(packet)
		if why != endpoint.ReasonNone {
			return 0, 0, fmt.Errorf("%v: %w", why, errNotIP)
		}
		return at, next, nil
	}
	return 0, 0, errNotIP
}

// raiseTTL makes the passage through us invisible: the kernel counts the TTL
// down once more when it forwards what we send.
func raiseTTL(ip []byte) {
	if ip[0]>>4 == 6 {
		ip[7] = max(ip[7], ip[7]+1)
		return
	}
	ip[8] = max(ip[8], ip[8]+1)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:int(ip[0]&15)*4]))
}

// unreachable composes an ICMP error about the segment s of t, to its
// sender: the IP header and the TCP header are quoted (RFC 792; RFC 4443,
// 3.1), which is more than the eight octets that identify it.
func (o *output) unreachable(w way, e *endpoint.ICMPError, t *endpoint.Tuple, s *endpoint.Segment) error {
	if !e.From.IsValid() || e.From.Unmap().Is4() != t.IsIPv4() {
		o.counters.Lost++
		return fmt.Errorf("ICMP error from %v to %v: families differ: %w", e.From, t.Source(), errNotIP)
	}
	ip := ipv6HeaderLen
	if t.IsIPv4() {
		ip = ipv4HeaderLen
	}
	var quoted [endpoint.MaxHeaderLen]byte
	tcp := endpoint.AppendHeader(quoted[:0], t.SrcPort, t.DstPort, s)
	icmp := icmpHeaderLen + ip + len(tcp)
	outer := o.icmp[:ip+icmp]
	clear(outer)
	m := outer[ip:]
	inner := m[icmpHeaderLen:]
	m[0], m[1] = e.Type, e.Code
	copy(inner[ip:], tcp)
	from := e.From.As16()
	h := endpoint.IPHeader{}
	if t.IsIPv4() {
		if e.Type == icmpUnreachable && e.Code == icmpFragmentationNeeded {
			binary.BigEndian.PutUint16(m[6:], uint16(min(e.MTU, maxPacket)))
		}
		o.putIPv4(inner, t.Src[12:], t.Dst[12:], h, s.ECN, protoTCP, min(ip+len(tcp)+s.PayloadLen(), maxPacket))
		binary.BigEndian.PutUint16(m[2:], checksum(m))
		o.putIPv4(outer, from[12:], t.Src[12:], h, 0, protoICMP, ip+icmp)
	} else {
		if e.Type == icmpv6TooBig {
			binary.BigEndian.PutUint32(m[4:], uint32(e.MTU))
		}
		putIPv6(inner, t.Src[:], t.Dst[:], h, s.ECN, protoTCP, min(len(tcp)+s.PayloadLen(), maxPacket))
		binary.BigEndian.PutUint16(m[2:], ^fold(sum(pseudoSum(from[:], t.Src[:], protoICMPv6, icmp), m)))
		putIPv6(outer, from[:], t.Src[:], h, 0, protoICMPv6, icmp)
	}
	n := o.load(1, outer, nil)
	var v vnetHeader
	v.put(o.head[:])
	return o.write(w, vnetHeaderLen, n, len(outer))
}
