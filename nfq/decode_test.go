package nfq

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"tcpmitm/endpoint"
)

func wantDecode(t *testing.T, why string, d *decoder, b []byte, length int, verify bool, reason endpoint.Reason, verdict endpoint.Verdict) *endpoint.Packet {
	t.Helper()
	var p endpoint.Packet
	r, v := d.decode(b, length, verify, &p)
	if r != reason || r != endpoint.ReasonNone && v != verdict {
		t.Errorf("%s: %v with verdict %v, want %v with %v", why, r, v, reason, verdict)
	}
	return &p
}

func TestDecodeTCP(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"10.0.0.1", "192.0.2.9"}, {"fd00::1", "2001:db8::9"}} {
		b := syntheticPacket(t, c.src, c.dst, 4711, 80, func(ip4 *layers.IPv4, ip6 *layers.IPv6, tcp *layers.TCP) {
			tcp.FIN, tcp.PSH = true, true
			tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}
			if ip4 != nil { // MUST-50
				ip4.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
			}
		}, 1, 2, 3, 4)
		var d decoder
		p := wantDecode(t, "whole", &d, b, len(b), true, endpoint.ReasonNone, 0)
		if p.Source() != netip.AddrPortFrom(netip.MustParseAddr(c.src), 4711) || p.Destination() != netip.AddrPortFrom(netip.MustParseAddr(c.dst), 80) {
			t.Errorf("tuple is %v to %v", p.Source(), p.Destination())
		}
		if p.TTL != 60 || p.DSCP != 46 || p.ECN != endpoint.ECT0 {
			t.Errorf("TTL %d, DSCP %d, ECN %d; want 60, 46, %d", p.TTL, p.DSCP, p.ECN, endpoint.ECT0)
		}
		if p.Flags != endpoint.FIN|endpoint.PSH|endpoint.ACK || p.Seq != 1000 || p.Ack != 2000 || p.Window != 512 || p.Options.MSS != 1460 || string(p.Payload) != "\x01\x02\x03\x04" {
			t.Errorf("segment is %+v", p.Segment)
		}
		if len(p.Raw) != len(b) {
			t.Errorf("Raw has %d octets, want %d", len(p.Raw), len(b))
		}

		// The message could not hold the tail: what follows it has not come.
		p = wantDecode(t, "cut", &d, b[:len(b)-1], len(b), false, endpoint.ReasonNone, 0)
		if p.Flags.Has(endpoint.FIN) || len(p.Payload) != 3 {
			t.Errorf("a cut segment has flags %v and %d octets, want no FIN and 3", p.Flags, len(p.Payload))
		}
		wantDecode(t, "cut and not verified", &d, b[:len(b)-1], len(b), true, endpoint.ReasonTruncated, endpoint.Take)
		wantDecode(t, "longer than the packet the kernel has", &d, b[:len(b)-1], len(b)-1, true, endpoint.ReasonTruncated, endpoint.Accept)
		p = wantDecode(t, "with padding", &d, append(b[:len(b):len(b)], 0, 0), len(b)+2, true, endpoint.ReasonNone, 0)
		if len(p.Raw) != len(b) || len(p.Payload) != 4 {
			t.Errorf("padding was not cut off: %d octets of %d", len(p.Raw), len(b))
		}

		for at := range b {
			if at < ipv4HeaderLen {
				continue // the fields of the IP header are not in the TCP checksum
			}
			bad := append([]byte(nil), b...)
			bad[at] ^= 0x10
			var p endpoint.Packet
			if r, _ := d.decode(bad, len(bad), true, &p); r == endpoint.ReasonNone {
				if netip.MustParseAddr(c.src).Is4() && at < ipv4HeaderLen+4 {
					continue // an IP option
				}
				if netip.MustParseAddr(c.src).Is6() && at < 8 {
					continue
				}
				t.Errorf("octet %d spoilt: accepted", at)
			}
		}
		bad := append([]byte(nil), b...)
		bad[len(bad)-1]++
		wantDecode(t, "bad checksum", &d, bad, len(bad), true, endpoint.ReasonBadChecksum, endpoint.Take)
		wantDecode(t, "checksum not ready", &d, bad, len(bad), false, endpoint.ReasonNone, 0)
	}
}

// A packet that the kernel merged beyond 64 KiB says nothing about its own
// length.
func TestDecodeLengthZero(t *testing.T) {
	for _, a := range [][2]string{{"10.0.0.1", "192.0.2.9"}, {"fd00::1", "2001:db8::9"}} {
		b := syntheticPacket(t, a[0], a[1], 1, 2, nil, make([]byte, 1000)...)
		if b[0]>>4 == 4 {
			b[2], b[3] = 0, 0
		} else {
			b[4], b[5] = 0, 0
		}
		var d decoder
		p := wantDecode(t, "no length", &d, b, 100000, false, endpoint.ReasonNone, 0)
		if len(p.Payload) != 1000 {
			t.Errorf("%d octets of payload, want 1000", len(p.Payload))
		}
	}
}

func TestDecodeOddPacketsGoOn(t *testing.T) {
	v4 := func(change func([]byte)) []byte {
		b := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil, 1, 2, 3)
		change(b)
		return b
	}
	v6 := func(change func([]byte)) []byte {
		b := syntheticPacket(t, "fd00::1", "2001:db8::9", 1, 2, nil, 1, 2, 3)
		change(b)
		return b
	}
	for why, c := range map[string]struct {
		b      []byte
		reason endpoint.Reason
	}{
		"nothing":              {nil, endpoint.ReasonTruncated},
		"version 5":            {v4(func(b []byte) { b[0] = 0x55 }), endpoint.ReasonBadIPHeader},
		"short header":         {v4(func(b []byte) { b[0] = 0x44 }), endpoint.ReasonBadIPHeader},
		"total below header":   {v4(func(b []byte) { b[3] = 19 }), endpoint.ReasonBadIPHeader},
		"first fragment":       {v4(func(b []byte) { b[6] = 0x20 }), endpoint.ReasonFragment},
		"last fragment":        {v4(func(b []byte) { b[7] = 9 }), endpoint.ReasonFragment},
		"UDP":                  {v4(func(b []byte) { b[9] = 17 }), endpoint.ReasonBadIPHeader},
		"from nowhere":         {v4(func(b []byte) { copy(b[12:], []byte{0, 0, 0, 0}) }), endpoint.ReasonBadAddress},
		"from broadcast":       {v4(func(b []byte) { copy(b[12:], []byte{255, 255, 255, 255}) }), endpoint.ReasonBadAddress},
		"from multicast":       {v4(func(b []byte) { b[12] = 224 }), endpoint.ReasonBadAddress},
		"to multicast":         {v4(func(b []byte) { b[16] = 239 }), endpoint.ReasonBadAddress},
		"from loopback":        {v4(func(b []byte) { b[12] = 127 }), endpoint.ReasonBadAddress},
		"half an IPv6 header":  {v6(func([]byte) {})[:39], endpoint.ReasonTruncated},
		"IPv6 fragment":        {v6(func(b []byte) { b[6] = 44 }), endpoint.ReasonFragment},
		"unknown next header":  {v6(func(b []byte) { b[6] = 99 }), endpoint.ReasonBadIPHeader},
		"extension beyond end": {v6(func(b []byte) { b[6] = 0; b[41] = 200 }), endpoint.ReasonBadIPHeader},
		"from ::":              {v6(func(b []byte) { clear(b[8:24]) }), endpoint.ReasonBadAddress},
		"from ::1":             {v6(func(b []byte) { clear(b[8:24]); b[23] = 1 }), endpoint.ReasonBadAddress},
		"from ::ffff:10.0.0.1": {v6(func(b []byte) { clear(b[8:24]); copy(b[18:], []byte{0xff, 0xff, 10, 0, 0, 1}) }), endpoint.ReasonBadAddress},
		"to ff02::1":           {v6(func(b []byte) { b[24] = 0xff }), endpoint.ReasonBadAddress},
	} {
		var d decoder
		wantDecode(t, why, &d, c.b, len(c.b), false, c.reason, endpoint.Accept)
	}
	d := decoder{local: true}
	b := v4(func(b []byte) { b[12] = 127 })
	wantDecode(t, "loopback in local mode", &d, b, len(b), false, endpoint.ReasonNone, 0)
}

// TestDecodeBrokenTCPHeaders wants headers that no TCP takes to end here.
func TestDecodeBrokenTCPHeaders(t *testing.T) {
	whole := func() []byte { return syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil, 1, 2, 3) }
	sixteen, beyond, half := whole(), whole(), whole()[:30]
	sixteen[32], beyond[32], half[3] = 0x40, 0x60, 30
	var d decoder
	wantDecode(t, "TCP header of 16", &d, sixteen, len(sixteen), false, endpoint.ReasonBadHeaderLength, endpoint.Take)
	wantDecode(t, "TCP header beyond the end", &d, beyond, len(beyond), false, endpoint.ReasonBadHeaderLength, endpoint.Take)
	wantDecode(t, "half a TCP header", &d, half, len(half), false, endpoint.ReasonShortHeader, endpoint.Take)
}

func TestDecodeIPv6ExtensionHeaders(t *testing.T) {
	b := syntheticPacket(t, "fd00::1", "2001:db8::9", 1, 2, nil, 1, 2, 3)
	// Hop-by-hop of 8 octets, destination options of 16, then TCP.
	ext := append([]byte{protoDestOpts, 0, 1, 4, 0, 0, 0, 0, protoTCP, 1}, make([]byte, 14)...)
	b = append(append(b[:40:40], ext...), b[40:]...)
	b[6] = protoHopByHop
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	var d decoder
	p := wantDecode(t, "with extension headers", &d, b, len(b), true, endpoint.ReasonNone, 0)
	if p.DstPort != 2 || len(p.Payload) != 3 {
		t.Errorf("destination port %d and %d octets of payload, want 2 and 3", p.DstPort, len(p.Payload))
	}
}

// icmpError makes an ICMP error about a packet with gopacket.
func icmpError(t testing.TB, from, to string, v4Type layers.ICMPv4TypeCode, v6Type layers.ICMPv6TypeCode, rest uint32, quoted []byte) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	var err error
	if a := netip.MustParseAddr(from); a.Is4() {
		err = gopacket.SerializeLayers(buf, opts,
			&layers.IPv4{Version: 4, TTL: 60, Protocol: layers.IPProtocolICMPv4, SrcIP: a.AsSlice(), DstIP: netip.MustParseAddr(to).AsSlice()},
			&layers.ICMPv4{TypeCode: v4Type, Id: uint16(rest >> 16), Seq: uint16(rest)}, gopacket.Payload(quoted))
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: layers.IPProtocolICMPv6, SrcIP: a.AsSlice(), DstIP: netip.MustParseAddr(to).AsSlice()}
		icmp := &layers.ICMPv6{TypeCode: v6Type}
		icmp.SetNetworkLayerForChecksum(ip)
		err = gopacket.SerializeLayers(buf, opts, ip, icmp, gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, rest), quoted...)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecodeICMP(t *testing.T) {
	for _, c := range []struct {
		why, from, client, server string
		v4                        layers.ICMPv4TypeCode
		v6                        layers.ICMPv6TypeCode
		rest                      uint32
		mtu                       int
	}{
		{"fragmentation needed", "10.0.0.254", "10.0.0.1", "192.0.2.9", layers.CreateICMPv4TypeCode(3, 4), 0, 1400, 1400},
		{"host unreachable", "10.0.0.254", "10.0.0.1", "192.0.2.9", layers.CreateICMPv4TypeCode(3, 1), 0, 0, 0},
		{"time exceeded", "10.0.0.254", "10.0.0.1", "192.0.2.9", layers.CreateICMPv4TypeCode(11, 0), 0, 0, 0},
		{"parameter problem", "10.0.0.254", "10.0.0.1", "192.0.2.9", layers.CreateICMPv4TypeCode(12, 0), 0, 0, 0},
		{"packet too big", "fd00::fe", "fd00::1", "2001:db8::9", 0, layers.CreateICMPv6TypeCode(2, 0), 1300, 1300},
		{"no route", "fd00::fe", "fd00::1", "2001:db8::9", 0, layers.CreateICMPv6TypeCode(1, 0), 0, 0},
	} {
		quoted := syntheticPacket(t, c.client, c.server, 4711, 80, nil, make([]byte, 600)...)
		b := icmpError(t, c.from, c.client, c.v4, c.v6, c.rest, quoted[:60])
		var d decoder
		p := wantDecode(t, c.why, &d, b, len(b), true, endpoint.ReasonNone, 0)
		if p.ICMP == nil {
			t.Fatalf("%s: no ICMP error", c.why)
		}
		if p.Source().String() != netip.AddrPortFrom(netip.MustParseAddr(c.client), 4711).String() || p.DstPort != 80 || p.Seq != 1000 {
			t.Errorf("%s: about %v to %v, seq %d", c.why, p.Source(), p.Destination(), p.Seq)
		}
		if p.ICMP.MTU != c.mtu || p.ICMP.From != netip.MustParseAddr(c.from) || p.ICMP.To != netip.MustParseAddr(c.client) {
			t.Errorf("%s: error is %+v", c.why, *p.ICMP)
		}
		b[len(b)-1]++
		wantDecode(t, c.why+", bad checksum", &d, b, len(b), true, endpoint.ReasonBadChecksum, endpoint.Take)
		if p := wantDecode(t, c.why+", not verified", &d, quoted, len(quoted), true, endpoint.ReasonNone, 0); p.ICMP != nil {
			t.Errorf("%s: the TCP packet after it is an ICMP error too", c.why)
		}
	}
	quoted := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil)
	udp := append([]byte(nil), quoted...)
	udp[9] = 17
	later := append([]byte(nil), quoted...)
	later[7] = 1
	fromMapped := syntheticPacket(t, "fd00::1", "2001:db8::9", 1, 2, nil)
	copy(fromMapped[8:24], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1})
	for why, b := range map[string][]byte{
		"echo":                     icmpError(t, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(8, 0), 0, 0, quoted),
		"about UDP":                icmpError(t, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(3, 1), 0, 0, udp),
		"about a later fragment":   icmpError(t, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(3, 1), 0, 0, later),
		"about a mapped address":   icmpError(t, "fd00::fe", "fd00::1", 0, layers.CreateICMPv6TypeCode(1, 0), 0, fromMapped),
		"quoting four octets less": icmpError(t, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(3, 1), 0, 0, quoted[:24]),
	} {
		var d decoder
		wantDecode(t, why, &d, b, len(b), true, endpoint.ReasonBadICMP, endpoint.Accept)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	b := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil, make([]byte, 1000)...)
	e := icmpError(t, "10.0.0.254", "10.0.0.1", layers.CreateICMPv4TypeCode(3, 1), 0, 0, b[:60])
	var d decoder
	p := new(endpoint.Packet)
	if n := testing.AllocsPerRun(100, func() {
		d.decode(b, len(b), true, p)
		d.decode(e, len(e), true, p)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	pk := syntheticPacket(b, "10.0.0.1", "192.0.2.9", 1, 2, nil, make([]byte, 1000)...)
	var d decoder
	p := new(endpoint.Packet)
	for b.Loop() {
		d.decode(pk, len(pk), false, p)
	}
}

// TestDecodePassesOverIPOptions: TCP begins where the header's length says
// (MUST-50).
func TestDecodePassesOverIPOptions(t *testing.T) {
	b := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil, 1, 2, 3)
	// Record route of one empty slot, and an end of list.
	b = append(append(b[:20:20], 7, 7, 4, 0, 0, 0, 0, 0), b[20:]...)
	b[0] = 0x47
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], checksum(b[:28]))
	var d decoder
	p := wantDecode(t, "with IP options", &d, b, len(b), true, endpoint.ReasonNone, 0)
	if p.DstPort != 2 || len(p.Payload) != 3 {
		t.Errorf("destination port %d and %d octets of payload, want 2 and 3", p.DstPort, len(p.Payload))
	}
}
