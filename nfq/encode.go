package nfq

import (
	"encoding/binary"

	"tcpmitm/endpoint"
)

// The header in front of each packet that is written to a TUN device
// (struct virtio_net_hdr in linux/virtio_net.h).
const (
	vnetHeaderLen = 10

	vnetNeedsChecksum = 1 // flags
	vnetTCPv4         = 1 // gso_type
	vnetTCPv6         = 4
	vnetECN           = 0x80
)

// checksumAt is where the checksum stands in a TCP header.
const checksumAt = 16

// defaultTTL is the TTL or hop limit of what does not name one (RFC 1700).
const defaultTTL = 64

// vnetHeader says what of a packet is left to the kernel.
type vnetHeader struct {
	flags, gso                 uint8
	headerLen, size            uint16 // of all headers; of the payload of one segment
	checksumStart, checksumOff uint16
}

func (v *vnetHeader) put(b []byte) {
	b[0], b[1] = v.flags, v.gso
	binary.NativeEndian.PutUint16(b[2:], v.headerLen)
	binary.NativeEndian.PutUint16(b[4:], v.size)
	binary.NativeEndian.PutUint16(b[6:], v.checksumStart)
	binary.NativeEndian.PutUint16(b[8:], v.checksumOff)
}

// segment builds the headers of s and writes them with the payload, which
// nobody touches: the kernel sums it up, and cuts it if it is longer than
// one packet.
func (o *output) segment(leg endpoint.Leg, t *endpoint.Tuple, h endpoint.IPHeader, s *endpoint.Segment) error {
	payload := s.PayloadLen()
	v4 := t.IsIPv4()
	ip := ipv6HeaderLen
	if v4 {
		ip = ipv4HeaderLen
	}
	tcpAt := vnetHeaderLen + ip
	b := endpoint.AppendHeader(o.head[:tcpAt], t.SrcPort, t.DstPort, s)
	headers := len(b) - vnetHeaderLen
	length := headers + payload
	if length > maxPacket {
		o.counters.Lost++
		return errTooLong
	}
	tcpLen := length - ip
	v := vnetHeader{
		flags:         vnetNeedsChecksum,
		headerLen:     uint16(headers),
		checksumStart: uint16(ip),
		checksumOff:   checksumAt,
	}
	if s.MSS > 0 && payload > s.MSS {
		v.size = uint16(s.MSS)
		v.gso = vnetTCPv6
		if v4 {
			v.gso = vnetTCPv4
		}
		if s.Flags.Has(endpoint.CWR) {
			// Only the first of the packets may carry CWR (RFC 3168, 6.1.2).
			v.gso |= vnetECN
		}
	}
	v.put(b)
	var on *carrier
	if leg == endpoint.Client && o.carriers.left > 0 {
		if v.gso != 0 || h.Corrupt != 0 || h.Loopback || length > maxCarried || ttl(h) == 1 {
			o.carriers.leave(t)
		} else if on = o.carriers.take(t); on != nil {
			h.TTL = ttl(h) - 1 // nobody counts it down any more
		}
	}
	var pseudo uint64
	if v4 {
		o.putIPv4(b[vnetHeaderLen:], t.Src[12:], t.Dst[12:], h, s.ECN, protoTCP, length)
		pseudo = pseudoSum(t.Src[12:], t.Dst[12:], protoTCP, tcpLen)
	} else {
		putIPv6(b[vnetHeaderLen:], t.Src[:], t.Dst[:], h, s.ECN, protoTCP, tcpLen)
		pseudo = pseudoSum(t.Src[:], t.Dst[:], protoTCP, tcpLen)
	}
	if on != nil {
		o.carry(on, b[vnetHeaderLen:], ip, pseudo, s, length)
		return nil
	}
	// The field holds the sum of the pseudo-header, not its complement: the
	// kernel adds the rest to it.
	if h.Corrupt != 0 && v.gso == 0 {
		return o.corrupt(way{leg, h.Loopback}, b, tcpAt, pseudo, h.Corrupt-1, s)
	}
	binary.BigEndian.PutUint16(b[tcpAt+checksumAt:], fold(pseudo))
	n := o.load(1, s.Payload, s.Pieces)
	return o.write(way{leg, h.Loopback}, len(b), n, length)
}

// putIPv4 writes an IPv4 header without options. DF is set, as path MTU
// discovery needs it (RFC 1191), so the identification could be anything
// (RFC 6864); it counts up, since receivers that merge packets expect that.
func (o *output) putIPv4(b, src, dst []byte, h endpoint.IPHeader, ecn, protocol uint8, length int) {
	b[0] = 0x45
	b[1] = h.DSCP<<2 | ecn
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	binary.BigEndian.PutUint16(b[4:], o.id)
	o.id++
	b[6], b[7] = 0x40, 0
	b[8] = ttl(h)
	b[9] = protocol
	b[10], b[11] = 0, 0
	copy(b[12:16], src)
	copy(b[16:20], dst)
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipv4HeaderLen]))
}

func putIPv6(b, src, dst []byte, h endpoint.IPHeader, ecn, next uint8, payload int) {
	class := h.DSCP<<2 | ecn
	b[0] = 0x60 | class>>4
	b[1] = class << 4
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6] = next
	b[7] = ttl(h)
	copy(b[8:24], src)
	copy(b[24:40], dst)
}

func ttl(h endpoint.IPHeader) uint8 {
	if h.TTL == 0 {
		return defaultTTL
	}
	return h.TTL
}
