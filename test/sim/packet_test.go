package sim

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"tcpmitm/endpoint"
)

// packet is a packet on a link: what stands in its IP header, and its octets
// from the TCP header on; or an ICMP error about one.
type packet struct {
	tuple endpoint.Tuple
	ecn   uint8
	tcp   []byte
	size  int // payload octets for each of the packets that this one stands for, if it was merged
	icmp  *endpoint.ICMPError
	seq   endpoint.Seq // of the segment that the ICMP error quotes
}

// String is a line of the log.
func (p *packet) String() string {
	if p.icmp != nil {
		return fmt.Sprintf("ICMP type %d code %d MTU %d about %v > %v seq %d", p.icmp.Type, p.icmp.Code, p.icmp.MTU, p.tuple.Source(), p.tuple.Destination(), p.seq)
	}
	var s endpoint.Segment
	if _, _, why := endpoint.ParseSegment(p.tcp, &s); why != endpoint.ReasonNone {
		return fmt.Sprintf("%v > %v %v", p.tuple.Source(), p.tuple.Destination(), why)
	}
	return fmt.Sprintf("%v > %v %v seq %d:%d ack %d win %d %s", p.tuple.Source(), p.tuple.Destination(),
		s.Flags, s.Seq, s.End(), s.Ack, s.Window, optionText(&s.Options))
}

func optionText(o *endpoint.Options) (text string) {
	if o.Has&endpoint.HasMSS != 0 {
		text += fmt.Sprintf("mss %d ", o.MSS)
	}
	if o.Has&endpoint.HasWindowScale != 0 {
		text += fmt.Sprintf("wscale %d ", o.WindowScale)
	}
	if o.Has&endpoint.HasSACKPermitted != 0 {
		text += "sackOK "
	}
	if o.Has&endpoint.HasTimestamps != 0 {
		text += fmt.Sprintf("TS %d %d ", o.TSVal, o.TSEcr)
	}
	if o.SACKBlocks > 0 {
		text += fmt.Sprintf("sack %v", o.SACK[:o.SACKBlocks])
	}
	return text
}

// encode makes the packets of a segment, checksums included. The kernel cuts
// a super-segment at segment borders; a link that merges (generic receive
// offload) does not.
func encode(tuple endpoint.Tuple, s *endpoint.Segment, merge bool, yield func(packet)) {
	left := s.PayloadLen()
	size := left
	if s.MSS > 0 && !merge {
		size = s.MSS
	}
	pieces, payload := s.Pieces, s.Payload
	if len(payload) > 0 {
		pieces = [][]byte{payload}
	}
	used := 0 // octets of pieces[0]
	c := *s
	c.Pieces, c.Payload, c.MSS = nil, nil, 0
	for first := true; first || left > 0; first = false {
		n := min(size, left)
		left -= n
		c.Flags = s.Flags
		if left > 0 {
			c.Flags &^= endpoint.FIN | endpoint.PSH
		}
		if !first {
			c.Flags &^= endpoint.CWR
		}
		p := packet{tuple: tuple, ecn: s.ECN, tcp: make([]byte, 0, endpoint.MaxHeaderLen+n)}
		if s.MSS > 0 && merge {
			p.size = s.MSS
		}
		p.tcp = endpoint.AppendHeader(p.tcp, tuple.SrcPort, tuple.DstPort, &c)
		c.Seq = c.Seq.Plus(n)
		for n > 0 {
			m := min(n, len(pieces[0])-used)
			p.tcp = append(p.tcp, pieces[0][used:used+m]...)
			used, n = used+m, n-m
			if used == len(pieces[0]) {
				pieces, used = pieces[1:], 0
			}
		}
		binary.BigEndian.PutUint16(p.tcp[16:], ^p.sum())
		yield(p)
	}
}

// sum is the ones' complement sum of the packet and its pseudo-header
// (RFC 9293, 3.1). It adds words of 64 bits, which RFC 1071 allows.
func (p *packet) sum() uint16 {
	var acc, c uint64
	add := func(b []byte) {
		for len(b) >= 8 {
			acc, c = bits.Add64(acc, binary.BigEndian.Uint64(b), c)
			b = b[8:]
		}
		if len(b) > 0 {
			var tail [8]byte
			copy(tail[:], b)
			acc, c = bits.Add64(acc, binary.BigEndian.Uint64(tail[:]), c)
		}
		acc, c = bits.Add64(acc, 0, c)
	}
	add(p.tuple.Src[:])
	add(p.tuple.Dst[:])
	acc, c = bits.Add64(acc, uint64(len(p.tcp))+6, c)
	add(p.tcp)
	acc += c
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// invert makes one bit wrong, counted as in endpoint.IPHeader. A packet that
// was cut after the bit was drawn may be too short to have it; like nfq it
// leaves that one as it is.
func (p *packet) invert(bit uint32) {
	at := int(bit / 8)
	if at >= endpoint.HeaderLen {
		at += int(p.tcp[12]>>4)*4 - endpoint.HeaderLen
	}
	if at < len(p.tcp) {
		p.tcp[at] ^= 0x80 >> (bit % 8)
	}
}

// decode verifies the checksum (MUST-3) and reads the segment. It tells
// whether the packet is one.
func (p *packet) decode(s *endpoint.Segment) bool {
	if p.sum() != 0xffff {
		return false
	}
	_, _, why := endpoint.ParseSegment(p.tcp, s)
	s.ECN, s.Buffer = p.ecn, nil
	return why == endpoint.ReasonNone
}

// headerLen is the length of the IP header that the packet has.
func (p *packet) headerLen() int {
	if p.tuple.IsIPv4() {
		return 20
	}
	return 40
}

// onWire is the length of the IP packet, or of the largest one that it stands
// for.
func (p *packet) onWire() int {
	n := len(p.tcp)
	if head := int(p.tcp[12]>>4) * 4; p.size > 0 && n-head > p.size {
		n = head + p.size
	}
	return p.headerLen() + n
}

// raw is the packet as one run of octets, as a shard may send it on.
func (p *packet) raw() []byte {
	raw := make([]byte, 0, 40+len(p.tcp))
	raw = append(raw, p.ecn)
	raw = append(raw, p.tuple.Src[:]...)
	raw = append(raw, p.tuple.Dst[:]...)
	raw = binary.BigEndian.AppendUint16(raw, uint16(p.size))
	raw = binary.BigEndian.AppendUint32(raw, uint32(p.seq))
	if p.icmp != nil {
		raw = append(raw, 1, p.icmp.Type, p.icmp.Code)
		raw = binary.BigEndian.AppendUint16(raw, uint16(p.icmp.MTU))
		raw = binary.BigEndian.AppendUint16(raw, p.tuple.SrcPort)
		return binary.BigEndian.AppendUint16(raw, p.tuple.DstPort)
	}
	return append(append(raw, 0), p.tcp...)
}

func fromRaw(raw []byte) packet {
	p := packet{ecn: raw[0], size: int(binary.BigEndian.Uint16(raw[33:])), seq: endpoint.Seq(binary.BigEndian.Uint32(raw[35:]))}
	copy(p.tuple.Src[:], raw[1:])
	copy(p.tuple.Dst[:], raw[17:])
	if raw[39] == 1 {
		b := raw[40:]
		p.icmp = &endpoint.ICMPError{Type: b[0], Code: b[1], MTU: int(binary.BigEndian.Uint16(b[2:]))}
		p.tuple.SrcPort, p.tuple.DstPort = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
		return p
	}
	p.tcp = append([]byte(nil), raw[40:]...)
	p.tuple.SrcPort, p.tuple.DstPort = binary.BigEndian.Uint16(p.tcp), binary.BigEndian.Uint16(p.tcp[2:])
	return p
}
