package nfq

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// withExtensions puts extension headers, each of n octets, between the IPv6
// header and the TCP header of a packet.
func withExtensions(b []byte, n int, kinds ...uint8) []byte {
	var chain []byte
	for i := range kinds {
		next := b[6]
		if i+1 < len(kinds) {
			next = kinds[i+1]
		}
		h := make([]byte, n)
		h[0], h[1] = next, byte(n/8-1)
		if kinds[i] == protoFragment {
			h = h[:8]
			h[1], h[3] = 0, 1 // the first of several
		}
		chain = append(chain, h...)
	}
	out := append(append(append([]byte(nil), b[:ipv6HeaderLen]...), chain...), b[ipv6HeaderLen:]...)
	if len(kinds) > 0 {
		out[6] = kinds[0]
	}
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-ipv6HeaderLen))
	return out
}

// seedPackets are packets that reach all parts of the decoder.
func seedPackets(tb testing.TB) [][]byte {
	v4 := syntheticPacket(tb, "10.0.0.1", "192.0.2.9", 1, 2, nil, 1, 2, 3)
	v6 := syntheticPacket(tb, "fd00::1", "2001:db8::9", 1, 2, nil, 1, 2, 3)
	options := syntheticPacket(tb, "10.0.0.1", "192.0.2.9", 1, 2, func(ip *layers.IPv4, _ *layers.IPv6, tcp *layers.TCP) {
		tcp.SYN, tcp.ACK = true, false
		tcp.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)},
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
		}
		ip.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 11, OptionData: make([]byte, 9)}, {OptionType: 1}}
	})
	jumbo4 := append([]byte(nil), v4...)
	jumbo4[2], jumbo4[3] = 0, 0
	jumbo6 := append([]byte(nil), v6...)
	jumbo6[4], jumbo6[5] = 0, 0
	list := [][]byte{
		v4, v6, options, jumbo4, jumbo6,
		withExtensions(v6, 8, protoHopByHop),
		withExtensions(v6, 16, protoHopByHop, protoDestOpts, protoRouting, protoDestOpts),
		withExtensions(v6, 8, protoFragment),
		withExtensions(v6, 8, bytes.Repeat([]byte{protoDestOpts}, maxExtensionHeaders)...),
		withExtensions(v6, 2048, protoHopByHop),
	}
	for _, code := range []uint8{0, 1, 2, 3, 4, 13} {
		list = append(list, icmpError(tb, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(3, code), 0, 1400, v4))
	}
	for _, kind := range []uint8{4, 5, 8, 11, 12} {
		list = append(list, icmpError(tb, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(kind, 0), 0, 0, options))
	}
	for _, kind := range []uint8{1, 2, 3, 4, 128} {
		list = append(list,
			icmpError(tb, "fd00::fe", "fd00::1", 0, layers.CreateICMPv6TypeCode(kind, 0), 1300, v6),
			icmpError(tb, "fd00::fe", "fd00::1", 0, layers.CreateICMPv6TypeCode(kind, 1), 0xffffffff, withExtensions(v6, 8, protoDestOpts)))
	}
	return list
}

// FuzzDecode feeds anything to the decoder: it stays within the packet, what
// it takes for a TCP packet gopacket must take for the same one, what it
// takes for an ICMP error quotes TCP, and whoever does not verify the
// checksum reads the same. What it took can be sent on as it came.
func FuzzDecode(f *testing.F) {
	for i, b := range seedPackets(f) {
		f.Add(b, uint16(0), i%4 != 0)
		f.Add(b[:len(b)-1], uint16(1), false)
	}
	o, read := newPipedOutput(f)
	sink := make([]byte, 1<<17)
	f.Fuzz(func(t *testing.T, b []byte, missing uint16, verify bool) {
		whole := append([]byte(nil), b...)
		d := decoder{local: true}
		var p, q endpoint.Packet
		why, verdict := d.decode(b, len(b)+int(missing), verify, &p)
		if !bytes.Equal(b, whole) {
			t.Fatal("decoding changed the packet")
		}
		if why != endpoint.ReasonNone {
			broken := why == endpoint.ReasonBadHeaderLength || why == endpoint.ReasonShortHeader
			unverified := verify && (why == endpoint.ReasonBadChecksum || why == endpoint.ReasonTruncated)
			if verdict == endpoint.Take && !broken && !unverified {
				t.Fatalf("dropped for %v", why)
			}
			return
		}
		strict := decoder{}
		if why, _ := strict.decode(b, len(b)+int(missing), false, &q); why != endpoint.ReasonNone && why != endpoint.ReasonBadAddress {
			t.Fatalf("with the checksum verified it is a packet, without it is none: %v", why)
		}
		if len(p.Raw) > len(b) || &p.Raw[0] != &b[0] {
			t.Fatalf("Raw of %d octets is not the front of %d", len(p.Raw), len(b))
		}
		if p.ICMP != nil {
			wantError(t, &p)
		} else {
			wantSegment(t, b, &p)
		}
		// A taken packet can be sent on, or is refused with an error.
		if o.packet(way{leg: endpoint.Client}, p.Raw) == nil {
			for {
				if n, err := unix.Read(read[endpoint.Client], sink); err != nil || n <= 0 {
					break
				}
			}
		}
	})
}

// wantError checks what a decoded ICMP error must be.
func wantError(t *testing.T, p *endpoint.Packet) {
	if len(p.Payload) != 0 || p.Flags != 0 {
		t.Fatalf("an ICMP error came with a segment: %+v", p.Segment)
	}
	if p.ICMP.MTU < 0 || p.ICMP.MTU > maxPacket || !p.ICMP.From.IsValid() || !p.ICMP.To.IsValid() {
		t.Fatalf("impossible error %+v", *p.ICMP)
	}
	if p.ICMP.From.Is4() != p.Tuple.IsIPv4() {
		t.Fatalf("error %+v about another family: %v", *p.ICMP, p.Tuple)
	}
}

// wantSegment compares a decoded segment with what gopacket reads.
func wantSegment(t *testing.T, b []byte, p *endpoint.Packet) {
	if p.Tuple.IsIPv4() != (b[0]>>4 == 4) || p.Tuple.Reverse().Reverse() != p.Tuple {
		t.Fatalf("a packet of IPv%d has the tuple %v to %v", b[0]>>4, p.Source(), p.Destination())
	}
	if p.Seq.Plus(p.Len()) != p.End() || len(p.Payload) > len(b) || p.Options.SACKBlocks > 4 {
		t.Fatalf("impossible segment %+v", p.Segment)
	}
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	g := gopacket.NewPacket(b, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	tcp, ok := g.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return // gopacket refuses what it finds odd; we let that go on
	}
	if uint16(tcp.SrcPort) != p.SrcPort || uint16(tcp.DstPort) != p.DstPort || tcp.Seq != uint32(p.Seq) || tcp.Ack != uint32(p.Ack) || tcp.Window != p.Window || tcp.SYN != p.Flags.Has(endpoint.SYN) {
		t.Fatalf("gopacket reads %+v, we read %+v", tcp, p.Segment)
	}
	if p.Flags.Has(endpoint.FIN) && len(p.Raw) == len(b) && !bytes.Equal(tcp.Payload, p.Payload) && len(tcp.Payload) > 0 {
		t.Fatalf("gopacket reads %d octets of payload, we read %d", len(tcp.Payload), len(p.Payload))
	}
}

// FuzzParseMessage feeds anything to the reader of netlink messages and of
// their attributes, and what they hold to the decoder.
func FuzzParseMessage(f *testing.F) {
	header := attr(attrPacketHeader, 0, 0, 1, 2, 8, 0, 4)
	f.Add(join(header, attr(attrPayload, 1, 2)))
	ct := attr(attrConntrack|0x8000, attr(ctaTupleOrig|0x8000, join(
		attr(ctaTupleIP|0x8000, join(attr(1, 10, 0, 0, 1), attr(ctaIPv4Dst, 192, 0, 2, 9))...),
		attr(ctaTupleProto|0x8000, join(attr(1, 6), attr(2, 1, 1), attr(ctaDstPort, 0x1f, 0x90))...))...)...)
	for _, b := range seedPackets(f) {
		body := join(header, ct, attr(attrSKBInfo, 0, 0, 0, 4), attr(attrCapLen, 0, 0, 0, 9), attr(attrPayload, b...))
		f.Add(body)
		h := make([]byte, nlmsgHeaderLen)
		binary.NativeEndian.PutUint32(h, uint32(nlmsgHeaderLen+len(body)))
		binary.NativeEndian.PutUint16(h[4:], msgPacket)
		f.Add(join(h, body, h[:8]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		var d decoder
		check := func(found bool) {
			if len(m.payload) > len(b) || m.length < len(m.payload) {
				t.Fatalf("impossible message %+v", m)
			}
			if found {
				var p endpoint.Packet
				d.decode(m.payload, m.length, m.verify, &p)
			}
		}
		check(m.parse(b))
		rounds := 0
		for _, body := range messages(b) {
			if rounds++; rounds > len(b) {
				t.Fatal("messages without end")
			}
			check(m.parse(body))
		}
	})
}
