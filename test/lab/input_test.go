package lab

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
)

// badPackets are segments in the window of a connection, each wrong in one
// way, and the reason by which it must be counted. Their payload would be seen
// in the stream if it were taken.
var badPackets = []struct {
	name, reason string
	options      []layers.TCPOption
	spoil        func(packet []byte)
}{
	{name: "checksum", reason: "bad-checksum",
		spoil: func(p []byte) { p[TCPOffset(p)+16] ^= 0x55 }},
	{name: "payload-bit", reason: "bad-checksum",
		spoil: func(p []byte) { p[len(p)-1] ^= 1 }},
	{name: "header-length-4", reason: "bad-header-length",
		spoil: func(p []byte) { at := TCPOffset(p); p[at+12] = p[at+12]&0x0f | 4<<4; Resum(p) }},
	{name: "header-length-0", reason: "bad-header-length",
		spoil: func(p []byte) { at := TCPOffset(p); p[at+12] &= 0x0f; Resum(p) }},
	{name: "header-beyond-the-end", reason: "bad-header-length",
		spoil: func(p []byte) { at := TCPOffset(p); p[at+12] = p[at+12]&0x0f | 15<<4; Resum(p) }},
	{name: "option-length-0", reason: "bad-option-length", options: sack,
		spoil: func(p []byte) { p[TCPOffset(p)+20+1] = 0; Resum(p) }},
	{name: "option-length-1", reason: "bad-option-length", options: sack,
		spoil: func(p []byte) { p[TCPOffset(p)+20+1] = 1; Resum(p) }},
	{name: "option-beyond-the-header", reason: "bad-option-length", options: sack,
		spoil: func(p []byte) { p[TCPOffset(p)+20+1] = 40; Resum(p) }},
}

// sack makes room for an option to be spoilt.
var sack = []layers.TCPOption{{OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: make([]byte, 8)}}

// TestBadInput sends what no honest TCP would, from either side, into a
// connection that works: it must go on as if nothing had come, and each
// packet must be counted by its reason.
func TestBadInput(t *testing.T) {
	t.Parallel()
	const each = 3
	l := New(t, Options{})
	// The forged segments have no timestamps. With them negotiated such a
	// segment would be refused for that.
	l.Client.Sysctl("net.ipv4.tcp_timestamps", "0")
	p := l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7000), echo)
		atClient := l.Client.Capture(clientDevice, "tcp port 7000")
		atServer := l.Server.Capture(serverDevice, "tcp port 7000")
		c := dial(t, l, f.At(7000))
		exchange(t, "before", c, "before")
		for _, side := range []struct {
			name    string
			capture *Capture
			from    *Namespace
			server  bool
		}{{"client", atClient, l.Client, false}, {"server", atServer, l.Server, true}} {
			for _, bad := range badPackets {
				if Plain && bad.reason == "bad-option-length" {
					continue // the kernel's TCP takes such a segment
				}
				l.Sub(side.name+"-"+bad.name, func(t *testing.T) {
					counted := p.Drops(bad.reason)
					for range each {
						packet := forge(t, side.capture.Sofar(), side.server, bad.options)
						bad.spoil(packet)
						to := f.Server()
						if side.server {
							to = f.Client()
						}
						if err := side.from.Inject(to, packet); err != nil {
							t.Fatal(err)
						}
					}
					exchange(t, "after", c, "after "+bad.name)
					if n := p.Drops(bad.reason) - counted; n != each && !Plain {
						t.Errorf("%d packets counted as %s, want %d", n, bad.reason, each)
					}
				})
			}
		}
		l.Sub("no-flow", func(t *testing.T) {
			counted := p.Drops("no-flow")
			packet, err := Packet(netip.AddrPortFrom(f.Client(), 1), f.At(7000),
				&layers.TCP{Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 1000}, []byte("nobody knows me"))
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Client.Inject(f.Server(), packet); err != nil {
				t.Fatal(err)
			}
			exchange(t, "after", c, "after no-flow")
			if n := p.Drops("no-flow") - counted; n == 0 && !Plain {
				t.Error("a segment of no known connection was not counted")
			}
		})
	})
}

// forgedWindow tells forged segments from honest ones in a capture.
const forgedWindow = 31337

// forge makes the segment that the side would send next, with a payload of
// its own, from what its wire has shown.
func forge(t *testing.T, frames []Frame, server bool, options []layers.TCPOption) []byte {
	t.Helper()
	sent := Select(frames, func(f *Frame) bool {
		return f.fromServer() == server && !f.RST && f.Window != forgedWindow
	})
	if len(sent) == 0 {
		t.Fatal("nothing was captured to forge from")
	}
	last := sent[len(sent)-1]
	for _, f := range sent { // the newest by sequence number, whatever the order of capture
		if int32(f.Seq+uint32(f.Len)-last.Seq-uint32(last.Len)) > 0 {
			last = f
		}
	}
	packet, err := Packet(last.Src, last.Dst, &layers.TCP{Seq: last.Seq + uint32(last.Len), Ack: last.Ack,
		ACK: true, PSH: true, Window: forgedWindow, Options: options}, []byte("EVIL OCTETS"))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}
