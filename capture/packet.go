package capture

import (
	"encoding/binary"

	"tcpmitm/endpoint"
)

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	protoTCP      = 6
	defaultTTL    = 64
	maxLength     = 1<<16 - 1 // what the length field of an IP packet can say

	tcpChecksumAt = 16
)

// Headers of IPv6 that may stand before TCP (RFC 8200, 4).
const (
	hopByHop           = 0
	destinationOptions = 60
	maxExtensions      = 8
)

// headerLen is how long an IP header of ours is.
func headerLen(t *endpoint.Tuple) int {
	if t.IsIPv4() {
		return ipv4HeaderLen
	}
	return ipv6HeaderLen
}

// build writes the packet of a record into b, and says how long it is on the
// wire.
func (rec *record) build(b []byte) (packet []byte, length int) {
	if rec.whole {
		b = append(b, rec.octets.b...)
		rec.mend(b)
		return b, rec.length
	}
	ip := headerLen(&rec.tuple)
	b = append(b, make([]byte, ip)...)
	b = append(b, rec.octets.b...)
	length = ip + rec.length
	rec.putHeader(b[:ip], length)
	if len(b) == length {
		sumUp(b, ip)
		rec.corrupt(b[ip:])
	}
	return b, length
}

// putHeader writes the IP header that what leaves has. The identification of
// IPv4, which means nothing without fragments (RFC 6864), is 0.
func (rec *record) putHeader(b []byte, length int) {
	ttl, class, t := rec.head.TTL, rec.head.DSCP<<2|rec.ecn, &rec.tuple
	if ttl == 0 {
		ttl = defaultTTL
	}
	if t.IsIPv4() {
		b[0], b[1] = 0x45, class
		binary.BigEndian.PutUint16(b[2:], uint16(min(length, maxLength)))
		b[6] = 0x40 // don't fragment
		b[8], b[9] = ttl, protoTCP
		copy(b[12:16], t.Src[12:])
		copy(b[16:20], t.Dst[12:])
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b)))
		return
	}
	b[0], b[1] = 0x60|class>>4, class<<4
	binary.BigEndian.PutUint16(b[4:], uint16(min(length-ipv6HeaderLen, maxLength)))
	b[6], b[7] = protoTCP, ttl
	copy(b[8:24], t.Src[:])
	copy(b[24:40], t.Dst[:])
}

// mend puts into a packet that the kernel gave us what the wire had: the
// addresses of the leg, the lengths that a merged packet has no room for, and
// checksums. These were right, or the packet would not have been taken; but
// the kernel may have left them to be made later.
func (rec *record) mend(b []byte) {
	t := &rec.tuple
	at := transportAt(b)
	if at < 0 || len(b) < at+endpoint.HeaderLen {
		return
	}
	if b[0]>>4 == 4 {
		copy(b[12:16], t.Src[12:])
		copy(b[16:20], t.Dst[12:])
		if binary.BigEndian.Uint16(b[2:]) == 0 && rec.length <= maxLength {
			binary.BigEndian.PutUint16(b[2:], uint16(rec.length))
		}
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b[:at])))
	} else {
		copy(b[8:24], t.Src[:])
		copy(b[24:40], t.Dst[:])
		if binary.BigEndian.Uint16(b[4:]) == 0 && rec.length-ipv6HeaderLen <= maxLength {
			binary.BigEndian.PutUint16(b[4:], uint16(rec.length-ipv6HeaderLen))
		}
	}
	binary.BigEndian.PutUint16(b[at:], t.SrcPort)
	binary.BigEndian.PutUint16(b[at+2:], t.DstPort)
	if len(b) == rec.length && rec.length == told(b) {
		sumUp(b, at)
	}
}

// told is how long a packet says that it is.
func told(b []byte) int {
	if b[0]>>4 == 4 {
		return int(binary.BigEndian.Uint16(b[2:]))
	}
	return ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
}

// transportAt finds the TCP header of an IP packet, or returns -1.
func transportAt(b []byte) int {
	switch {
	case len(b) >= ipv4HeaderLen && b[0]>>4 == 4:
		if n := int(b[0]&15) * 4; n >= ipv4HeaderLen && b[9] == protoTCP {
			return n
		}
	case len(b) >= ipv6HeaderLen && b[0]>>4 == 6:
		next, at := b[6], ipv6HeaderLen
		for range maxExtensions {
			if next == protoTCP {
				return at
			}
			if next != hopByHop && next != destinationOptions || len(b) < at+8 {
				return -1
			}
			next, at = b[at], at+8+int(b[at+1])*8
		}
	}
	return -1
}

// sumUp writes the TCP checksum of a packet whose TCP header is at.
func sumUp(b []byte, at int) {
	tcp := b[at:]
	tcp[tcpChecksumAt], tcp[tcpChecksumAt+1] = 0, 0
	addresses := b[12:20]
	if b[0]>>4 == 6 {
		addresses = b[8:40]
	}
	acc := sum(uint64(len(tcp))+protoTCP, addresses)
	binary.BigEndian.PutUint16(tcp[tcpChecksumAt:], ^fold(sum(acc, tcp)))
}

// corrupt inverts the bit that a fault inverts, as endpoint.IPHeader.Corrupt
// counts them; the checksum is that of the right segment.
func (rec *record) corrupt(tcp []byte) {
	if rec.head.Corrupt == 0 {
		return
	}
	bit := int(rec.head.Corrupt - 1)
	at, mask := bit/8, byte(0x80)>>(bit%8)
	if at >= endpoint.HeaderLen {
		at += int(tcp[12]>>4)*4 - endpoint.HeaderLen
	}
	if at < len(tcp) {
		tcp[at] ^= mask
	}
}

// sum adds b, read as numbers of 16 bits, to a running sum (RFC 1071). Only
// the last part of what is summed up may have an odd length. A packet has far
// fewer octets than would overflow the 64 bits.
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 8 {
		x := binary.BigEndian.Uint64(b)
		acc += x>>32 + x&0xffffffff
		b = b[8:]
	}
	for ; len(b) >= 2; b = b[2:] {
		acc += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

// fold makes 16 bits of a sum.
func fold(acc uint64) uint16 {
	for acc>>16 != 0 {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
