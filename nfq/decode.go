package nfq

import (
	"encoding/binary"
	"net/netip"

	"tcpmitm/endpoint"
)

// Protocol numbers (IANA).
const (
	protoICMP     = 1
	protoTCP      = 6
	protoICMPv6   = 58
	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoDestOpts = 60
)

// Header lengths in octets.
const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	icmpHeaderLen = 8
)

// maxExtensionHeaders bounds how many IPv6 extension headers are passed over
// to find the transport header; RFC 8200, 4.1 recommends at most one of each
// kind, with destination options twice.
const maxExtensionHeaders = 8

// decoder turns IP packets into endpoint.Packets, which point into the
// packet they came from. It allocates nothing.
type decoder struct {
	// local allows loopback addresses, which may be met on a host's own
	// connections but never on forwarded ones.
	local bool
	icmp  endpoint.ICMPError
}

// decode reads the IP packet at the front of b, of which the kernel has
// length octets; b is shorter if the message could not hold them all. verify
// says that nobody has verified the checksum yet. A reason other than
// ReasonNone means that p is not to be used; the verdict then says whether
// the kernel's copy of the packet is to be dropped (Take) or not.
//
// Only what its receiver would drop for certain is dropped. Everything else
// that is odd goes on untouched, for we are not its judge.
func (d *decoder) decode(b []byte, length int, verify bool, p *endpoint.Packet) (endpoint.Reason, endpoint.Verdict) {
	p.Original = netip.AddrPort{}
	p.ICMP = nil
	if len(b) == 0 {
		return endpoint.ReasonTruncated, endpoint.Accept
	}
	var l4 transport
	var why endpoint.Reason
	switch b[0] >> 4 {
	case 4:
		l4, why = d.decodeIPv4(b, length, p)
	case 6:
		l4, why = d.decodeIPv6(b, length, p)
	default:
		why = endpoint.ReasonBadIPHeader
	}
	if why != endpoint.ReasonNone {
		return why, endpoint.Accept
	}
	switch l4.protocol {
	case protoTCP:
		return d.decodeTCP(&l4, verify, p)
	case protoICMP, protoICMPv6:
		return d.decodeICMP(&l4, verify, p)
	}
	return endpoint.ReasonBadIPHeader, endpoint.Accept
}

// transport is what the IP header says about what follows it.
type transport struct {
	b        []byte // the octets that are here
	missing  int    // octets that the message could not hold
	protocol uint8
	src, dst []byte // addresses, in the packet
	ecn      uint8
}

func (d *decoder) decodeIPv4(b []byte, length int, p *endpoint.Packet) (l4 transport, why endpoint.Reason) {
	if len(b) < ipv4HeaderLen {
		return l4, endpoint.ReasonTruncated
	}
	n := int(b[0]&15) * 4 // MUST-50: options are passed over
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		// A packet that the kernel merged beyond 64 KiB has no length that
		// the field could hold.
		total = length
	}
	switch {
	case n < ipv4HeaderLen || total < n:
		return l4, endpoint.ReasonBadIPHeader
	case total > length || n > len(b):
		return l4, endpoint.ReasonTruncated
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // more fragments, or an offset
		return l4, endpoint.ReasonFragment
	}
	if total < len(b) {
		b = b[:total]
	}
	l4 = transport{b: b[n:], missing: total - len(b), protocol: b[9], src: b[12:16], dst: b[16:20], ecn: b[1] & 3}
	if d.badIPv4(l4.src, false) || d.badIPv4(l4.dst, true) {
		return l4, endpoint.ReasonBadAddress
	}
	p.Src, p.Dst = mapped(l4.src), mapped(l4.dst)
	p.TTL = b[8]
	p.DSCP = b[1] >> 2
	p.Raw = b
	return l4, endpoint.ReasonNone
}

// badIPv4 tells whether an address cannot be that of a TCP peer: MUST-63 for
// sources, MUST-57 for broadcast and multicast destinations.
func (d *decoder) badIPv4(a []byte, destination bool) bool {
	switch {
	case a[0] == 127:
		return !d.local
	case a[0] == 0: // "this network" is a source of DHCP only (RFC 1122, 3.2.1.3)
		return !destination || a[1]|a[2]|a[3] == 0
	}
	return a[0]&0xf0 == 0xe0 || a[0] == 255 && a[1] == 255 && a[2] == 255 && a[3] == 255
}

func (d *decoder) decodeIPv6(b []byte, length int, p *endpoint.Packet) (l4 transport, why endpoint.Reason) {
	if len(b) < ipv6HeaderLen {
		return l4, endpoint.ReasonTruncated
	}
	total := ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total == ipv6HeaderLen {
		total = length // a jumbogram (RFC 2675), as the kernel merges them
	}
	if total > length {
		return l4, endpoint.ReasonTruncated
	}
	if total < len(b) {
		b = b[:total]
	}
	class := b[0]<<4 | b[1]>>4
	l4 = transport{missing: total - len(b), src: b[8:24], dst: b[24:40], ecn: class & 3}
	if d.badIPv6(l4.src) || d.badIPv6(l4.dst) {
		return l4, endpoint.ReasonBadAddress
	}
	next, at, why := skipExtensions(b)
	if why != endpoint.ReasonNone {
		return l4, why
	}
	l4.protocol, l4.b = next, b[at:]
	copy(p.Src[:], l4.src)
	copy(p.Dst[:], l4.dst)
	p.TTL = b[7]
	p.DSCP = class >> 2
	p.Raw = b
	return l4, endpoint.ReasonNone
}

// badIPv6 tells whether an address cannot be that of a TCP peer: the
// unspecified address, multicast, loopback on a gateway (RFC 4291, 2.5), and
// IPv4-mapped ones, which are not for the wire: a tuple of them is that of an
// IPv4 connection, which this packet must not reach.
func (d *decoder) badIPv6(a []byte) bool {
	if a[0] == 0xff || isMapped(a) {
		return true
	}
	for _, x := range a[:15] {
		if x != 0 {
			return false
		}
	}
	return a[15] == 0 || a[15] == 1 && !d.local
}

// isMapped tells an IPv4-mapped address (RFC 4291, 2.5.5.2).
func isMapped(a []byte) bool { return [12]byte(a) == [12]byte{10: 0xff, 11: 0xff} }

// skipExtensions finds the transport header behind the extension headers of
// the IPv6 packet b (RFC 8200, 4).
func skipExtensions(b []byte) (next uint8, at int, why endpoint.Reason) {
	next, at = b[6], ipv6HeaderLen
	for range maxExtensionHeaders {
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts:
			if at+8 > len(b) {
				return 0, 0, endpoint.ReasonBadIPHeader
			}
			next, at = b[at], at+8+8*int(b[at+1])
			if at > len(b) {
				return 0, 0, endpoint.ReasonBadIPHeader
			}
		case protoFragment:
			return 0, 0, endpoint.ReasonFragment
		default:
			return next, at, endpoint.ReasonNone
		}
	}
	return 0, 0, endpoint.ReasonBadIPHeader
}

func (d *decoder) decodeTCP(l4 *transport, verify bool, p *endpoint.Packet) (endpoint.Reason, endpoint.Verdict) {
	if verify {
		// MUST-3: the checksum is verified. Of a packet that did not come
		// whole it cannot be, and unverified octets must not reach anybody.
		if l4.missing > 0 {
			return endpoint.ReasonTruncated, endpoint.Take
		}
		if fold(sum(pseudoSum(l4.src, l4.dst, protoTCP, len(l4.b)), l4.b)) != 0xffff {
			return endpoint.ReasonBadChecksum, endpoint.Take
		}
	}
	src, dst, why := endpoint.ParseSegment(l4.b, &p.Segment)
	if why != endpoint.ReasonNone {
		// No TCP takes it. It must not go on: if the connection is ours, what
		// one peer sends has no business on the other leg.
		return why, endpoint.Take
	}
	p.SrcPort, p.DstPort = src, dst
	p.ECN = l4.ecn
	if l4.missing > 0 {
		// The tail has not come, and what follows the tail has not either.
		p.Flags &^= endpoint.FIN | endpoint.PSH
	}
	return endpoint.ReasonNone, endpoint.Accept
}

// mapped is the IPv4-mapped form of a four-octet address.
func mapped(a []byte) (m [16]byte) {
	m[10], m[11] = 0xff, 0xff
	copy(m[12:], a)
	return m
}
