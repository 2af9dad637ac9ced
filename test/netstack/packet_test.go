package netstack

import (
	"encoding/binary"

	"tcpmitm/endpoint"
)

const ipHeaderLen = 20

// The two hosts.
var (
	addresses = [2][4]byte{{10, 0, 0, 1}, {10, 0, 0, 2}}
	ports     = [2]uint16{40000, 7}
)

// encode makes an IPv4 packet of a segment, with both checksums.
func encode(from int, s *endpoint.Segment, payload []byte) []byte {
	b := make([]byte, ipHeaderLen, ipHeaderLen+endpoint.MaxHeaderLen+len(payload))
	b = endpoint.AppendHeader(b, ports[from], ports[1-from], s)
	b = append(b, payload...)
	b[0], b[8], b[9] = 0x45, 64, 6
	b[1] = s.ECN
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // don't fragment
	copy(b[12:], addresses[from][:])
	copy(b[16:], addresses[1-from][:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:ipHeaderLen])))
	tcp := b[ipHeaderLen:]
	binary.BigEndian.PutUint16(tcp[16:], ^tcpSum(b))
	return b
}

// decode takes an IPv4 packet apart; it tells whether both checksums hold and
// it is one of ours.
func decode(to int, b []byte, s *endpoint.Segment) bool {
	if len(b) < ipHeaderLen+endpoint.HeaderLen || b[0] != 0x45 || b[9] != 6 ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b) || fold(sum(b[:ipHeaderLen])) != 0xffff || tcpSum(b) != 0xffff {
		return false
	}
	*s = endpoint.Segment{}
	src, dst, why := endpoint.ParseSegment(b[ipHeaderLen:], s)
	s.ECN = b[1] & 3
	return why == endpoint.ReasonNone && src == ports[1-to] && dst == ports[to]
}

func tcpSum(b []byte) uint16 {
	n := len(b) - ipHeaderLen
	return fold(sum(b[12:20]) + 6 + uint32(n) + sum(b[ipHeaderLen:]))
}

// sum adds up to 64 KiB of 16-bit words.
func sum(b []byte) uint32 {
	var n uint32
	for ; len(b) > 1; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) > 0 {
		n += uint32(b[0]) << 8
	}
	return n
}

func fold(n uint32) uint16 {
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}
