package nfq

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// TestOneBitIsWrong: a corrupt segment fails its checksum, one bit makes it
// right again, and what the endpoint has to send again is not touched.
func TestOneBitIsWrong(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"10.0.0.1:4711", "192.0.2.9:80"}, {"[fd00::1]:4711", "[2001:db8::9]:80"}} {
		for _, bit := range []uint32{33, 64, 105, 129, 160, 161, 168, 160 + 8*1002} {
			o, fds := newPipedOutput(t)
			pieces := [][]byte{bytes.Repeat([]byte{1}, 999), {2, 3, 4}}
			s := &endpoint.Segment{
				Seq: 7, Ack: 9, Flags: endpoint.ACK, Window: 501, Pieces: pieces,
				Options: endpoint.Options{Has: endpoint.HasTimestamps, TSVal: 11, TSEcr: 12},
			}
			if err := o.segment(endpoint.Client, tuple(c.src, c.dst), endpoint.IPHeader{Corrupt: bit}, s); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4096)
			n, err := unix.Read(fds[endpoint.Client], b)
			if err != nil {
				t.Fatal(err)
			}
			if b[0]&vnetNeedsChecksum != 0 || b[1] != 0 {
				t.Fatal("the kernel is asked to make the checksum right")
			}
			packet := b[vnetHeaderLen:n]
			var d decoder
			var p endpoint.Packet
			if why, _ := d.decode(packet, len(packet), true, &p); why != endpoint.ReasonBadChecksum {
				t.Errorf("bit %d: the packet is read with %v, want a bad checksum", bit, why)
			}
			ip := ipv6HeaderLen
			if packet[0]>>4 == 4 {
				ip = ipv4HeaderLen
			}
			at := ip + int(bit-1)/8
			if bit > 8*endpoint.HeaderLen {
				at += timestampsHeader
			}
			packet[at] ^= 0x80 >> ((bit - 1) % 8)
			wantValidSums(t, packet)
			if why, _ := d.decode(packet, len(packet), true, &p); why != endpoint.ReasonNone || p.Seq != 7 || p.Window != 501 ||
				!bytes.Equal(p.Payload, bytes.Join(pieces, nil)) {
				t.Errorf("bit %d: more than the bit is wrong: %v", bit, why)
			}
			if !bytes.Equal(pieces[0], bytes.Repeat([]byte{1}, 999)) || !bytes.Equal(pieces[1], []byte{2, 3, 4}) {
				t.Errorf("bit %d: the octets of the send queue were changed", bit)
			}
		}
	}
}

// timestampsHeader is how long the timestamps option makes the TCP header.
const timestampsHeader = 12
