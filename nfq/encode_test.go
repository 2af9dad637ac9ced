package nfq

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// newPipedOutput makes an output whose devices are datagram sockets, from
// whose other ends a test reads what was written, packet by packet.
func newPipedOutput(t testing.TB) (o *output, read [2]int) {
	t.Helper()
	var fds [2]int
	for leg := range fds {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
		if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
			t.Fatal(err)
		}
		fds[leg], read[leg] = pair[0], pair[1]
	}
	return newOutput(fds, [2]int{-1, -1}, nil), read
}

// sent is a packet as the TUN driver would take it.
type sent struct {
	vnet   vnetHeader
	packet []byte
	g      gopacket.Packet
}

func readSent(t testing.TB, fd int) sent {
	t.Helper()
	b := make([]byte, 1<<17)
	n, err := unix.Read(fd, b)
	if err != nil {
		t.Fatalf("nothing was written: %v", err)
	}
	b = b[:n]
	s := sent{packet: b[vnetHeaderLen:], vnet: vnetHeader{
		flags: b[0], gso: b[1], headerLen: binary.NativeEndian.Uint16(b[2:]), size: binary.NativeEndian.Uint16(b[4:]),
		checksumStart: binary.NativeEndian.Uint16(b[6:]), checksumOff: binary.NativeEndian.Uint16(b[8:]),
	}}
	if s.vnet.flags&vnetNeedsChecksum != 0 {
		// What the kernel does: it sums up everything from the start on, the
		// field being part of it.
		at := s.vnet.checksumStart + s.vnet.checksumOff
		binary.BigEndian.PutUint16(s.packet[at:], checksum(s.packet[s.vnet.checksumStart:]))
	}
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if s.packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	s.g = gopacket.NewPacket(s.packet, first, gopacket.Default)
	if e := s.g.ErrorLayer(); e != nil {
		t.Errorf("gopacket: %v", e.Error())
	}
	wantValidSums(t, s.packet)
	return s
}

// wantValidSums recomputes every checksum of a packet with gopacket.
func wantValidSums(t testing.TB, b []byte) {
	t.Helper()
	var d decoder
	var p endpoint.Packet
	if why, _ := d.decode(b, len(b), true, &p); why == endpoint.ReasonBadChecksum {
		t.Error("the transport checksum is wrong")
	}
	if b[0]>>4 == 4 && checksum(b[:int(b[0]&15)*4]) != 0 {
		t.Error("the IP header's checksum is wrong")
	}
}

func tuple(src, dst string) *endpoint.Tuple {
	t := endpoint.NewTuple(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst))
	return &t
}

func TestSendBuildsWhatGopacketReads(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"10.0.0.1:4711", "192.0.2.9:80"}, {"[fd00::1]:4711", "[2001:db8::9]:80"}} {
		o, fds := newPipedOutput(t)
		pieces := [][]byte{bytes.Repeat([]byte{1}, 1000), nil, bytes.Repeat([]byte{2}, 999), {3}}
		s := &endpoint.Segment{
			Seq: 7, Ack: 9, Flags: endpoint.ACK | endpoint.PSH, ECN: endpoint.ECT0, Window: 501,
			Options: endpoint.Options{Has: endpoint.HasTimestamps, TSVal: 11, TSEcr: 12},
			Pieces:  pieces, MSS: 500,
		}
		if err := o.segment(endpoint.Server, tuple(c.src, c.dst), endpoint.IPHeader{TTL: 33, DSCP: 46}, s); err != nil {
			t.Fatal(err)
		}
		got := readSent(t, fds[endpoint.Server])
		tcp := got.g.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if tcp.SrcPort != 4711 || tcp.DstPort != 80 || tcp.Seq != 7 || tcp.Ack != 9 || tcp.Window != 501 || !tcp.PSH || tcp.FIN {
			t.Errorf("TCP header is %+v", tcp)
		}
		if !bytes.Equal(tcp.Payload, bytes.Join(pieces, nil)) {
			t.Error("the payload is not the pieces in order")
		}
		gso := uint8(vnetTCPv4)
		if ip, ok := got.g.NetworkLayer().(*layers.IPv4); ok {
			if ip.TTL != 33 || ip.TOS != 46<<2|2 || ip.Flags != layers.IPv4DontFragment || int(ip.Length) != len(got.packet) {
				t.Errorf("IP header is %+v", ip)
			}
		} else {
			ip := got.g.NetworkLayer().(*layers.IPv6)
			gso = vnetTCPv6
			if ip.HopLimit != 33 || ip.TrafficClass != 46<<2|2 || int(ip.Length) != len(got.packet)-40 {
				t.Errorf("IP header is %+v", ip)
			}
		}
		if got.vnet.gso != gso || got.vnet.size != 500 || int(got.vnet.headerLen) != len(got.packet)-2000 {
			t.Errorf("header for the driver is %+v", got.vnet)
		}

		s.Flags |= endpoint.CWR
		o.segment(endpoint.Client, tuple(c.src, c.dst), endpoint.IPHeader{}, s)
		if got := readSent(t, fds[endpoint.Client]); got.vnet.gso != gso|vnetECN {
			t.Errorf("with CWR the kind of super-packet is %#x, want %#x", got.vnet.gso, gso|vnetECN)
		}
		s.Pieces, s.Payload = nil, []byte{1, 2, 3}
		o.segment(endpoint.Client, tuple(c.src, c.dst), endpoint.IPHeader{}, s)
		got = readSent(t, fds[endpoint.Client])
		if got.vnet.gso != 0 || got.vnet.size != 0 {
			t.Errorf("one packet is announced as a super-packet: %+v", got.vnet)
		}
		if ip, ok := got.g.NetworkLayer().(*layers.IPv4); ok && (ip.TTL != 64 || ip.Id != 2) {
			t.Errorf("TTL %d and identification %d, want 64 and 2", ip.TTL, ip.Id)
		}
	}
}

func TestSendBoundsTheLength(t *testing.T) {
	o, fds := newPipedOutput(t)
	s := &endpoint.Segment{Pieces: [][]byte{make([]byte, maxPacket-40)}, MSS: 1460}
	if err := o.segment(endpoint.Client, tuple("10.0.0.1:1", "10.0.0.2:2"), endpoint.IPHeader{}, s); err != nil {
		t.Errorf("the longest packet: %v", err)
	}
	if n := len(readSent(t, fds[0]).packet); n != maxPacket {
		t.Errorf("%d octets were written, want %d", n, maxPacket)
	}
	s.Pieces = append(s.Pieces, []byte{1})
	if err := o.segment(endpoint.Client, tuple("10.0.0.1:1", "10.0.0.2:2"), endpoint.IPHeader{}, s); !errors.Is(err, errTooLong) {
		t.Errorf("one octet more: %v, want %v", err, errTooLong)
	}
}

func TestSendManyPieces(t *testing.T) {
	o, fds := newPipedOutput(t)
	var pieces [][]byte
	for i := range 3000 {
		pieces = append(pieces, []byte{byte(i), byte(i >> 8)})
	}
	s := &endpoint.Segment{Pieces: pieces, MSS: 1460}
	for range 2 {
		if err := o.segment(endpoint.Client, tuple("10.0.0.1:1", "10.0.0.2:2"), endpoint.IPHeader{}, s); err != nil {
			t.Fatal(err)
		}
		if got := readSent(t, fds[0]); !bytes.Equal(got.packet[40:], bytes.Join(pieces, nil)) {
			t.Error("the payload is not the pieces in order")
		}
	}
}

func TestSendPacketLeavesTheChecksumToTheKernel(t *testing.T) {
	for _, a := range [][2]string{{"10.0.0.1", "192.0.2.9"}, {"fd00::1", "2001:db8::9"}} {
		b := syntheticPacket(t, a[0], a[1], 1, 2, func(ip4 *layers.IPv4, _ *layers.IPv6, tcp *layers.TCP) {
			tcp.SYN, tcp.ACK = true, false
			if ip4 != nil {
				ip4.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
			}
		}, 1, 2, 3)
		want := append([]byte(nil), b...)
		tcpAt := len(b) - 23
		b[tcpAt+checksumAt] ^= 0xff // as if it had not been filled in yet
		before := append([]byte(nil), b...)
		o, fds := newPipedOutput(t)
		if err := o.packet(way{leg: endpoint.Server}, b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, before) {
			t.Error("SendPacket changed the packet that it was given")
		}
		got := readSent(t, fds[endpoint.Server])
		if ip, ok := got.g.NetworkLayer().(*layers.IPv4); ok && ip.TTL != 61 {
			t.Errorf("TTL is %d, want 61", ip.TTL)
		}
		if !bytes.Equal(got.packet[tcpAt:], want[tcpAt:]) {
			t.Errorf("TCP part is %x, want %x", got.packet[tcpAt:], want[tcpAt:])
		}
	}
	o, _ := newPipedOutput(t)
	whole := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil, 1, 2, 3)
	for why, b := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)-1], "no version": append([]byte{0}, whole[1:]...)} {
		if err := o.packet(way{leg: endpoint.Server}, b); !errors.Is(err, errNotIP) {
			t.Errorf("%s: %v, want %v", why, err, errNotIP)
		}
	}
}

func TestSendUnreachableQuotesTheSegment(t *testing.T) {
	for _, c := range []struct{ from, src, dst string }{
		{"10.0.0.254", "10.0.0.1:4711", "192.0.2.9:80"},
		{"fd00::fe", "[fd00::1]:4711", "[2001:db8::9]:80"},
	} {
		o, fds := newPipedOutput(t)
		e := &endpoint.ICMPError{From: netip.MustParseAddr(c.from), Type: icmpUnreachable, Code: icmpFragmentationNeeded, MTU: 1234}
		if e.From.Is6() {
			e.Type, e.Code = icmpv6TooBig, 0
		}
		s := &endpoint.Segment{Seq: 77, Flags: endpoint.SYN, Options: endpoint.Options{Has: endpoint.HasMSS, MSS: 1460}}
		if err := o.unreachable(way{leg: endpoint.Client}, e, tuple(c.src, c.dst), s); err != nil {
			t.Fatal(err)
		}
		got := readSent(t, fds[endpoint.Client])
		var d decoder
		p := wantDecode(t, c.from, &d, got.packet, len(got.packet), true, endpoint.ReasonNone, 0)
		if p.ICMP == nil || p.ICMP.MTU != 1234 || p.ICMP.From != e.From || p.Seq != 77 || p.Tuple != *tuple(c.src, c.dst) {
			t.Errorf("error reads as %+v about %v to %v, seq %d", p.ICMP, p.Source(), p.Destination(), p.Seq)
		}
	}
	o, _ := newPipedOutput(t)
	e := &endpoint.ICMPError{From: netip.MustParseAddr("fd00::1")}
	if err := o.unreachable(way{leg: endpoint.Client}, e, tuple("10.0.0.1:1", "10.0.0.2:2"), &endpoint.Segment{}); err == nil {
		t.Error("an IPv6 router reports an IPv4 packet")
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	o := newOutput([2]int{int(null.Fd()), int(null.Fd())}, [2]int{-1, -1}, nil)
	s := &endpoint.Segment{Pieces: [][]byte{make([]byte, 3000), make([]byte, 3000)}, MSS: 1460}
	e := &endpoint.ICMPError{From: netip.MustParseAddr("10.0.0.254")}
	tu := tuple("10.0.0.1:1", "10.0.0.2:2")
	b := syntheticPacket(t, "10.0.0.1", "192.0.2.9", 1, 2, nil)
	if n := testing.AllocsPerRun(100, func() {
		o.segment(endpoint.Client, tu, endpoint.IPHeader{}, s)
		o.packet(way{leg: endpoint.Client}, b)
		o.unreachable(way{leg: endpoint.Client}, e, tu, s)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestLostPacketsAreCounted(t *testing.T) {
	o, _ := newPipedOutput(t)
	full := 0
	for range 10000 {
		if err := o.segment(endpoint.Client, tuple("10.0.0.1:1", "10.0.0.2:2"), endpoint.IPHeader{}, &endpoint.Segment{Payload: make([]byte, 1000)}); err != nil {
			t.Fatalf("a device that takes no more is an error: %v", err)
		}
		full++
		if o.counters.Lost > 0 {
			return
		}
	}
	t.Errorf("%d packets went into a socket that nobody reads", full)
}

func BenchmarkSend(b *testing.B) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	o := newOutput([2]int{int(null.Fd()), int(null.Fd())}, [2]int{-1, -1}, nil)
	s := &endpoint.Segment{Pieces: [][]byte{make([]byte, 30000), make([]byte, 30000)}, MSS: 1460}
	tu := tuple("10.0.0.1:1", "10.0.0.2:2")
	for b.Loop() {
		o.segment(endpoint.Client, tu, endpoint.IPHeader{}, s)
	}
}
