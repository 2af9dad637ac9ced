package lab

import (
	"net/netip"
	"strings"
	"testing"
)

// wrongSum is a display filter of Wireshark's for wrong TCP checksums. Where the sum
// is 0, Linux writes 0xffff, as one must in UDP (CSUM_MANGLED_0). To a receiver it
// is the same; Wireshark calls it bad, once in 65,536 segments.
const wrongSum = `(tcp.checksum.status == "Bad" and not tcp.checksum == 0xffff)`

// bad is what a display filter of Wireshark's must not find.
var bad = strings.Join([]string{
	"_ws.malformed",
	wrongSum,
	`ip.checksum.status == "Bad"`,
	`(tcp and not tcp.checksum.status == "Good" and not tcp.checksum == 0xffff)`, // an unverified one proves nothing
	"tcp.analysis.ack_lost_segment",                                              // acknowledges what was never sent
	"ip.len > 1500", "ipv6.plen > 1460",
	"tcp.flags.reset == 1", "icmp", "icmpv6.type < 128",
}, " or ")

// wantCleanWire reads one leg with tshark. A few segments may be sent twice:
// two cores reorder packets even where the kernel only forwards.
func wantCleanWire(t *testing.T, leg string, c *Capture, octets int) {
	t.Helper()
	if lines := c.Tshark(bad); len(lines) > 0 {
		t.Errorf("%s: %d bad frames, the first:\n%s", leg, len(lines), lines[0])
	}
	full := len(Select(c.Frames(), func(f *Frame) bool { return f.Len > 1000 }))
	if full < octets/1460 {
		t.Errorf("%s: %d frames with data for %d octets: the capture proves nothing", leg, full, octets)
	}
	if again := len(c.Tshark("tcp.analysis.retransmission")); again > full/100 {
		t.Errorf("%s: %d of %d segments were sent again though nothing was lost", leg, again, full)
	}
}

// TestWire looks at both legs with a protocol analyser of other people's
// making: nothing malformed, no checksum wrong, next to nothing sent twice
// where nothing was lost, and two connections instead of one.
func TestWire(t *testing.T) {
	const size = 4 << 20
	l := New(t, Options{NoOffload: true})
	www := startNginx(t, l)
	sum := payload(t, www+"/big.bin", 5, size)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		atClient := l.Client.Capture(clientDevice, "tcp port 80 or icmp or icmp6")
		atServer := l.Server.Capture(serverDevice, "tcp port 80 or icmp or icmp6")
		url := "http://" + hostPort(f.At(80))
		got := l.Client.Run("bash", "-o", "pipefail", "-c", "curl -sS --fail "+url+"/big.bin | sha256sum")
		if !strings.HasPrefix(got, sum) {
			t.Errorf("download: SHA-256 %s, want %s", got, sum)
		}
		l.Client.Run("curl", "-sS", "--fail", "-T", www+"/big.bin", url+"/up/"+f.String())
		wantCleanWire(t, "client leg", atClient, 2*size)
		wantCleanWire(t, "server leg", atServer, 2*size)
		wantTwoConnections(t, atClient.Frames(), atServer.Frames())
	})
}

// handshake is the opening of one connection as seen on one leg.
type handshake struct{ syn, synAck *Frame }

// handshakes finds the openings, by the client's address and port.
func handshakes(frames []Frame) map[netip.AddrPort]handshake {
	found := map[netip.AddrPort]handshake{}
	for i := range frames {
		f := &frames[i]
		switch {
		case f.SYN && !f.ACK:
			h := found[f.Src]
			if h.syn == nil {
				h.syn = f
			}
			found[f.Src] = h
		case f.SYN && f.ACK:
			h := found[f.Dst]
			if h.synAck == nil {
				h.synAck = f
			}
			found[f.Dst] = h
		}
	}
	return found
}

// wantTwoConnections wants each connection of the client to be another one at
// the server, with the same addresses and ports and with sequence numbers of
// its own in both directions. Plain forwarding must show the opposite.
func wantTwoConnections(t *testing.T, atClient, atServer []Frame) {
	t.Helper()
	client, server := handshakes(atClient), handshakes(atServer)
	if len(client) == 0 || len(client) != len(server) {
		t.Fatalf("%d connections at the client, %d at the server, want the same number and more than 0", len(client), len(server))
	}
	for from, c := range client {
		s, ok := server[from]
		if !ok || c.syn == nil || c.synAck == nil || s.syn == nil || s.synAck == nil {
			t.Fatalf("the handshake of %v is not whole on both legs:\nclient leg\n%sserver leg\n%s", from, Dump(atClient), Dump(atServer))
		}
		split := c.syn.Seq != s.syn.Seq && c.synAck.Seq != s.synAck.Seq
		if split == Plain {
			t.Errorf("%v: SYN seq %d at the client and %d at the server, SYN-ACK seq %d and %d: split %v, want %v",
				from, c.syn.Seq, s.syn.Seq, c.synAck.Seq, s.synAck.Seq, split, !Plain)
		}
		if c.synAck.Ack != c.syn.Seq+1 || s.synAck.Ack != s.syn.Seq+1 {
			t.Errorf("%v: a SYN-ACK acknowledges something else than its SYN", from)
		}
	}
}

// TestOptionsFitBothSides wants the client to be offered only what the server
// can do, and the path's segment size to be mirrored.
func TestOptionsFitBothSides(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		server                 map[string]string
		scale, sack, timestamp bool
	}{
		{"all", map[string]string{}, true, true, true},
		{"no-timestamps", map[string]string{"net.ipv4.tcp_timestamps": "0"}, true, true, false},
		{"no-sack", map[string]string{"net.ipv4.tcp_sack": "0"}, true, false, true},
		{"no-scale", map[string]string{"net.ipv4.tcp_window_scaling": "0"}, false, true, true},
		{"none", map[string]string{"net.ipv4.tcp_timestamps": "0", "net.ipv4.tcp_sack": "0",
			"net.ipv4.tcp_window_scaling": "0"}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, Options{})
			for key, value := range c.server {
				l.Server.Sysctl(key, value)
			}
			l.StartProxy(clientSide)
			l.EachFamily(func(t *testing.T, f Family) {
				serve(t, l.Server, f.At(7000), echo)
				atClient := l.Client.Capture(clientDevice, "tcp port 7000")
				exchange(t, "with these options", dial(t, l, f.At(7000)), strings.Repeat("x", 100_000))
				for from, h := range handshakes(atClient.Frames()) {
					if h.synAck == nil {
						t.Fatalf("%v: no SYN-ACK", from)
					}
					a := h.synAck
					if (a.Scale >= 0) != c.scale || a.SACKOK != c.sack || a.Timestamps != c.timestamp {
						t.Errorf("SYN-ACK has scale %d, SACK %v, timestamps %v; want scale %v, SACK %v, timestamps %v",
							a.Scale, a.SACKOK, a.Timestamps, c.scale, c.sack, c.timestamp)
					}
					mss := 1460
					if f == IPv6 {
						mss = 1440
					}
					if a.MSS != mss {
						t.Errorf("SYN-ACK has MSS %d, want %d", a.MSS, mss)
					}
				}
			})
		})
	}
}
