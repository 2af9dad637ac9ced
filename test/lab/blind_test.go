package lab

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var blindPackets = flag.Int("blind", 1_000_000, "how many forged packets TestBlindAttack sends around an IPv4 connection; around one of IPv6 a fifth of that")

// attacked is a connection whose octets go to the server and come back, while
// it is attacked.
type attacked struct {
	lab    *Lab
	proxy  *Proxy
	family Family
	conn   *net.TCPConn
	here   netip.AddrPort // the client
	there  netip.AddrPort
	legs   [2]attackedLeg

	moved atomic.Uint64 // octets that have come back
	stop  atomic.Bool
	end   chan error
}

// attackedLeg is where the numbers of a leg began, and who attacks it: from the
// side of its peer.
type attackedLeg struct {
	ISS    uint32 `json:"iss"` // ours
	IRS    uint32 `json:"irs"` // the peer's
	sender *Sender
}

// TestBlindAttack sends forged RST, SYN, data and ICMP errors from both sides
// into a connection that carries data, by somebody who knows addresses and
// ports and guesses sequence numbers, right and wrong ones, but never a whole
// segment that nobody could tell from the peer's.
func TestBlindAttack(t *testing.T) {
	// Not in parallel with others: it takes what the machine has.
	if Plain {
		t.Log("plain forwarding leaves this to the hosts")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7000), echo)
		a := newAttacked(t, l, p, f)
		a.challenges(t)
		n := *blindPackets
		if f == IPv6 {
			n /= 5
		}
		before := floodCounters(t, p)
		go a.carry()
		began := time.Now()
		sent := a.attack(t, n)
		took := time.Since(began)
		a.finish(t)
		after := floodCounters(t, p)
		came := after.Edge.PacketsIn - before.Edge.PacketsIn
		t.Logf("%d forged packets in %v, %.0f a second; meanwhile %d octets went there and back", sent, took.Round(time.Millisecond),
			float64(sent)/took.Seconds(), a.moved.Load())
		if sent < uint64(n) || came < uint64(n)*8/10 {
			// SYNs from the server's side are not led to tcpmitm: they are of
			// no connection of the client's.
			t.Errorf("%d were sent and %d came to tcpmitm, want %d", sent, came, n)
		}
		for _, why := range []string{"bad-reset", "unexpected-syn", "bad-ack", "bad-icmp", "out-of-window", "old-duplicate"} {
			if got := after.Drops[why] - before.Drops[why]; got < uint64(n)/10_000 {
				t.Errorf("only %d packets counted as %s", got, why)
			}
		}
	})
}

func newAttacked(t *testing.T, l *Lab, p *Proxy, f Family) *attacked {
	t.Helper()
	a := &attacked{lab: l, proxy: p, family: f, there: f.At(7000), end: make(chan error, 1)}
	a.conn = dial(t, l, a.there)
	a.here = a.conn.LocalAddr().(*net.TCPAddr).AddrPort()
	exchange(t, "before", a.conn, "first")
	for i, from := range []struct {
		host             *Namespace
		device, own, via string
	}{{l.Client, clientDevice, clientMAC, lanMAC}, {l.Server, serverDevice, serverMAC, wanMAC}} {
		s, err := from.host.OpenSender(from.device, from.own, from.via)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		a.legs[i].sender = s
	}
	var list struct {
		Connections []struct {
			Client    netip.AddrPort `json:"client"`
			ClientLeg attackedLeg    `json:"client_leg"`
			ServerLeg attackedLeg    `json:"server_leg"`
		} `json:"connections"`
	}
	if err := p.Ask("/v1/connections", &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Connections {
		if c.Client == a.here {
			a.legs[0].ISS, a.legs[0].IRS = c.ClientLeg.ISS, c.ClientLeg.IRS
			a.legs[1].ISS, a.legs[1].IRS = c.ServerLeg.ISS, c.ServerLeg.IRS
			return a
		}
	}
	t.Fatalf("tcpmitm has no connection of %v", a.here)
	return nil
}

// first is how many octets were exchanged before the attack, an odd number of
// them: the stream's segments begin at even distances from the ISN plus one and
// these.
const first = 5

// carry sends octets and wants them back until it is told to stop, then closes,
// and wants the end.
func (a *attacked) carry() {
	const piece = 8 << 10
	sent, come := make([]byte, piece), make([]byte, piece)
	source := random(99)
	for !a.stop.Load() {
		_, _ = io.ReadFull(source, sent)
		if _, err := a.conn.Write(sent); err != nil {
			a.end <- fmt.Errorf("after %d octets: %w", a.moved.Load(), err)
			return
		}
		if _, err := io.ReadFull(a.conn, come); err != nil {
			a.end <- fmt.Errorf("after %d octets: %w", a.moved.Load(), err)
			return
		}
		if string(sent) != string(come) {
			a.end <- fmt.Errorf("the octets from %d on were altered", a.moved.Load())
			return
		}
		a.moved.Add(piece)
	}
	_ = a.conn.CloseWrite()
	if n, err := a.conn.Read(come); n != 0 || err != io.EOF {
		a.end <- fmt.Errorf("instead of the end came %d octets, %w", n, err)
		return
	}
	a.end <- nil
}

func (a *attacked) finish(t *testing.T) {
	t.Helper()
	a.stop.Store(true)
	select {
	case err := <-a.end:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the connection has stalled")
	}
	if a.moved.Load() < 100_000 {
		t.Errorf("only %d octets were carried meanwhile", a.moved.Load())
	}
}

// forging is one forged packet: what of the numbers that count now it hits.
type forging struct {
	r *rand.Rand
	// seq is what the peer sends next, ack what we do.
	seq, ack uint32
}

func (a *attacked) forging(r *rand.Rand, leg int) forging {
	l, at := &a.legs[leg], uint32(a.moved.Load())+first
	return forging{r, l.IRS + 1 + at, l.ISS + 1 + at}
}

// near is a number within 4 MiB of another.
func (g *forging) near(n uint32) uint32 { return n + g.r.Uint32N(8<<20) - 4<<20 }

// far is a number that is not within 512 MiB of another.
func (g *forging) far(n uint32) uint32 { return n + 512<<20 + g.r.Uint32N(3<<30) }

// guess is a sequence number: near, anywhere, or the next one of a search in
// steps of a window.
func (g *forging) guess(i int, n uint32) uint32 {
	switch i % 3 {
	case 0:
		return g.near(n)
	case 1:
		return g.r.Uint32()
	}
	return uint32(i) * 65535
}

// attack sends n forged packets, and waits where tcpmitm would not get them.
func (a *attacked) attack(t *testing.T, n int) (sent uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, uint64(a.family)))
	before := a.legs[0].sender.Sent + a.legs[1].sender.Sent
	for i := range n {
		leg := i & 1
		if err := a.forge(i>>1, leg, a.forging(r, leg), a.legs[leg].sender); err != nil {
			t.Error(err)
			break
		}
		if i%(2*senderBurst) == 2*senderBurst-1 {
			a.lab.waitForQueues(t)
		}
	}
	for i := range a.legs {
		if err := a.legs[i].sender.Flush(); err != nil {
			t.Error(err)
		}
	}
	return a.legs[0].sender.Sent + a.legs[1].sender.Sent - before
}

// forge adds one packet of the attack: by turns RST, SYN, data and ICMP errors.
func (a *attacked) forge(i, leg int, g forging, s *Sender) error {
	b, err := s.Next(a.family)
	if err != nil {
		return err
	}
	from, to := a.here, a.there
	if leg == 1 {
		from, to = to, from
	}
	seq := g.guess(i/4, g.seq)
	switch i % 4 {
	case 0:
		// Exactly the next number would be right, and end the connection as
		// RFC 5961 has it: the segments of the stream are of even length.
		seq = g.seq + (seq - g.seq) | 1
		s.Add(putSegment(b, from, to, seq, g.near(g.ack), 0x04|byte(g.r.IntN(2))<<4, 0))
	case 1:
		s.Add(putSegment(b, from, to, seq, 0, 0x02, 0))
	case 2:
		// Where both numbers are right, the octets cannot be told from the
		// peer's.
		ack := g.r.Uint32()
		if int32(seq-g.seq) > -64<<20 && int32(seq-g.seq) < 64<<20 {
			ack = g.far(g.ack)
		}
		s.Add(putSegment(b, from, to, seq, ack, 0x18, 1+g.r.IntN(200)))
	default:
		s.Add(a.putICMP(b, g, from, to, g.guess(i/4, g.ack)))
	}
	return nil
}

// putSegment writes a segment with n octets of data and returns how long the
// packet is.
func putSegment(b []byte, from, to netip.AddrPort, seq, ack uint32, flags byte, n int) int {
	at := PutIP(b, from.Addr(), to.Addr(), unix.IPPROTO_TCP, 20+n)
	putTCP(b[at:], from.Port(), to.Port(), seq, ack, flags, 20)
	for i := range b[at+20 : at+20+n] {
		b[at+20+i] = "EVIL"[i%4]
	}
	SumPayload(b, at, 20+n, 16)
	return at + 20 + n
}

// putICMP writes an ICMP error about a segment that we would have sent to who
// is from: to him who is to.
func (a *attacked) putICMP(b []byte, g forging, from, to netip.AddrPort, seq uint32) int {
	var quoted [80]byte
	q := PutIP(quoted[:], to.Addr(), from.Addr(), unix.IPPROTO_TCP, 20)
	putTCP(quoted[q:], to.Port(), from.Port(), seq, 0, 0x10, 20)
	n := 8 + q + 20
	protocol, kind, code, mtu := byte(unix.IPPROTO_ICMP), byte(3), []byte{0, 1, 2, 3, 4, 13}[g.r.IntN(6)], []uint32{68, 552, 1280}[g.r.IntN(3)]
	if a.family == IPv6 {
		protocol, kind, code, mtu = unix.IPPROTO_ICMPV6, 1+byte(g.r.IntN(2)), 0, 1280
		if kind == 1 {
			code, mtu = byte(g.r.IntN(5)), 0
		}
	}
	at := PutIP(b, from.Addr(), to.Addr(), protocol, n)
	clear(b[at : at+8])
	b[at], b[at+1] = kind, code
	binary.BigEndian.PutUint32(b[at+4:], mtu)
	copy(b[at+8:], quoted[:q+20])
	SumPayload(b, at, n, 2)
	return at + n
}

// challenges attacks the connection while it is idle: of 30,000 packets in the
// window of each leg at most ten in five seconds are answered.
func (a *attacked) challenges(t *testing.T) {
	t.Helper()
	const each = 10_000
	r := rand.New(rand.NewPCG(6, 6))
	before, began := floodCounters(t, a.proxy), time.Now()
	for i := range 3 * each {
		for leg := range a.legs {
			g, s := a.forging(r, leg), a.legs[leg].sender
			b, err := s.Next(a.family)
			if err != nil {
				t.Fatal(err)
			}
			from, to := a.here, a.there
			if leg == 1 {
				from, to = to, from
			}
			seq := g.seq + 1 + r.Uint32N(30_000)
			switch i % 3 {
			case 0:
				s.Add(putSegment(b, from, to, seq, g.ack, 0x14, 0))
			case 1:
				s.Add(putSegment(b, from, to, seq, 0, 0x02, 0))
			default:
				s.Add(putSegment(b, from, to, seq, g.far(g.ack), 0x18, 100))
			}
		}
		if i%senderBurst == senderBurst-1 {
			a.lab.waitForQueues(t)
		}
	}
	for i := range a.legs {
		if err := a.legs[i].sender.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	a.lab.waitForQueues(t)
	after := floodCounters(t, a.proxy)
	most := 10 * (1 + uint64(time.Since(began)/(5*time.Second)))
	for leg, n := range []uint64{after.Client.SegmentsOut - before.Client.SegmentsOut, after.Server.SegmentsOut - before.Server.SegmentsOut} {
		if n == 0 || n > most {
			t.Errorf("leg %d answered %d of %d forged packets, want from 1 to %d", leg, n, 3*each, most)
		}
	}
	t.Logf("%d forged packets into an idle connection, %d and %d challenge ACKs", 6*each,
		after.Client.SegmentsOut-before.Client.SegmentsOut, after.Server.SegmentsOut-before.Server.SegmentsOut)
}

// queueRoom is how many packets may wait in the gateway's queues before an
// attack pauses: what found a queue full would prove nothing.
const queueRoom = 1500

// waitForQueues waits until the gateway's queues have room.
func (l *Lab) waitForQueues(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		waiting, err := l.queued()
		switch {
		case err != nil:
			t.Fatal(err)
		case waiting <= queueRoom:
			return
		case time.Now().After(deadline):
			t.Fatalf("%d packets wait in the queues for %v", waiting, soon)
		}
	}
}

// queued is how many packets wait in the gateway's queues.
func (l *Lab) queued() (waiting int, err error) {
	err = l.Gateway.In(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 3 {
				return fmt.Errorf("a queue is told as %q", line)
			}
			n, err := strconv.Atoi(f[2])
			if err != nil {
				return err
			}
			waiting += n
		}
		return nil
	})
	return waiting, err
}
