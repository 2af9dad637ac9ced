package nfq

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// answer is a server's packet as the queue delivers it.
func answer(id uint32, v6 bool) (*message, *endpoint.Packet) {
	m := &message{id: id, hook: hookPostrouting, received: true}
	from, to := netip.MustParseAddrPort("10.91.2.2:80"), netip.MustParseAddrPort("10.91.1.2:40000")
	if v6 {
		from, to = netip.MustParseAddrPort("[fd91:2::2]:80"), netip.MustParseAddrPort("[fd91:1::2]:40000")
		m.payload = make([]byte, ipv6HeaderLen+endpoint.HeaderLen)
		m.payload[0], m.payload[6] = 0x60, protoTCP
	} else {
		m.payload = make([]byte, ipv4HeaderLen+endpoint.HeaderLen)
		m.payload[0], m.payload[6], m.payload[9] = 0x45, 0x40, protoTCP
	}
	m.length = len(m.payload)
	p := &endpoint.Packet{Tuple: endpoint.NewTuple(from, to), Hook: endpoint.Late}
	p.Flags = endpoint.ACK
	return m, p
}

// What may go on with other octets in it, and what may not.
func TestWhatCarries(t *testing.T) {
	for _, c := range []struct {
		name string
		v6   bool
		with func(m *message, p *endpoint.Packet)
		want bool
	}{
		{"an answer", false, nil, true},
		{"an answer, IPv6", true, nil, true},
		{"SYN-ACK", false, func(_ *message, p *endpoint.Packet) { p.Flags = endpoint.SYN | endpoint.ACK }, true},
		{"SYN", false, func(_ *message, p *endpoint.Packet) { p.Flags = endpoint.SYN }, false},
		{"ICMP error", false, func(_ *message, p *endpoint.Packet) { p.ICMP = &endpoint.ICMPError{} }, false},
		{"of the host's own", false, func(m *message, _ *endpoint.Packet) { m.received = false }, false},
		{"for the host itself", false, func(m *message, _ *endpoint.Packet) { m.hook = hookInput }, false},
		{"a client's", false, func(m *message, _ *endpoint.Packet) { m.hook = hookPrerouting }, false},
		{"over loopback", false, func(m *message, _ *endpoint.Packet) { m.loopback = true }, false},
		{"over a bridge", false, func(m *message, _ *endpoint.Packet) { m.bridged = true }, false},
		{"super-packet", false, func(m *message, _ *endpoint.Packet) { m.super = true }, false},
		{"cut", false, func(m *message, _ *endpoint.Packet) { m.length++ }, false},
		{"IP options", false, func(m *message, _ *endpoint.Packet) { m.payload[0] = 0x46 }, false},
		{"put together of fragments", false, func(m *message, _ *endpoint.Packet) { m.payload[6] = 0 }, false},
		{"extension headers", true, func(m *message, _ *endpoint.Packet) { m.payload[6] = 0 }, false},
		{"shorter than a header", true, func(m *message, _ *endpoint.Packet) { m.payload = m.payload[:30]; m.length = 30 }, false},
		{"empty", false, func(m *message, _ *endpoint.Packet) { m.payload, m.length = nil, 0 }, false},
	} {
		m, p := answer(7, c.v6)
		if c.with != nil {
			c.with(m, p)
		}
		for _, on := range []bool{true, false} {
			cs := carriers{on: on}
			cs.add(m, p)
			got := cs.take(&p.Tuple)
			if (got != nil) != (c.want && on) {
				t.Errorf("%s, carrying %v: taken %v", c.name, on, got != nil)
			}
			if got != nil && got.id != 7 {
				t.Errorf("%s: packet %d, want 7", c.name, got.id)
			}
		}
	}
}

// Carriers are used in their order, each once, and only by their connection.
func TestCarriersAreUsedOnce(t *testing.T) {
	cs := carriers{on: true}
	for id := range uint32(burstMessages + 3) { // more than there is room for
		m, p := answer(id, id%3 == 2)
		if id%3 == 1 {
			p.DstPort++
		}
		cs.add(m, p)
	}
	_, p4 := answer(0, false)
	_, p6 := answer(0, true)
	other := p4.Tuple
	other.DstPort++
	ids := map[string][]uint32{}
	for name, tuple := range map[string]endpoint.Tuple{"IPv4": p4.Tuple, "its neighbour": other, "IPv6": p6.Tuple, "the other way": p4.Reverse()} {
		for c := cs.take(&tuple); c != nil; c = cs.take(&tuple) {
			ids[name] = append(ids[name], c.id)
		}
	}
	for name, first := range map[string]uint32{"IPv4": 0, "its neighbour": 1, "IPv6": 2} {
		var want []uint32
		for id := first; id < burstMessages; id += 3 {
			want = append(want, id)
		}
		if !slices.Equal(ids[name], want) {
			t.Errorf("%s: packets %v, want %v", name, ids[name], want)
		}
	}
	if len(ids["the other way"]) > 0 || cs.left != 0 {
		t.Errorf("the other way: packets %v; %d left", ids["the other way"], cs.left)
	}
	cs.add(answer(99, false))
	cs.clear()
	if cs.take(&p4.Tuple) != nil {
		t.Error("a packet whose verdict is given still carries")
	}
}

// newCarryingOutput makes an output whose verdicts a test reads.
func newCarryingOutput(t testing.TB, b *batch) (o *output, tun [2]int, given int) {
	o, tun = newPipedOutput(t)
	write, read := datagrams(t)
	o.batch = b
	o.carriers.on = true
	o.verdicts = verdictWay{fd: write, others: &verdicts{queue: 0x1234, drops: 1}, written: func(_ int, errno unix.Errno) {
		if errno != 0 {
			t.Errorf("writing verdicts: %v", errno)
		}
	}, give: func(b []byte) { unix.Write(write, b) }}
	return o, tun, read
}

// A verdict has the whole packet in it, sums and all, its TTL counted down as
// forwarding would.
func TestCarriedPacketIsWhole(t *testing.T) {
	payload := []byte("an odd length, in several pieces!")
	for _, ring := range []bool{true, false} {
		for _, v6 := range []bool{false, true} {
			var b *batch
			if ring {
				b = &batch{testRing(t)}
			}
			o, _, verdicts := newCarryingOutput(t, b)
			m, p := answer(0x01020304, v6)
			o.carriers.add(m, p)
			s := endpoint.Segment{Seq: 5, Ack: 6, Flags: endpoint.ACK | endpoint.PSH, Window: 7, MSS: 1000, Payload: payload[:3], Pieces: [][]byte{payload[3:10], nil, payload[10:]}}
			if err := o.segment(endpoint.Client, &p.Tuple, endpoint.IPHeader{TTL: 60, DSCP: 10}, &s); err != nil {
				t.Fatal(err)
			}
			o.batch.flush()
			raw := []byte(receive(t, verdicts))
			if len(raw)%4 != 0 || int(binary.NativeEndian.Uint32(raw)) != len(raw) {
				t.Fatalf("a message of %d octets says %d", len(raw), binary.NativeEndian.Uint32(raw))
			}
			for kind, body := range messages(raw) {
				v := attribute(body[nfgenmsgLen:], attrVerdict)
				if kind != msgVerdict || binary.BigEndian.Uint16(body[2:]) != 0x1234 || binary.BigEndian.Uint32(v) != nfRepeat || binary.BigEndian.Uint32(v[4:]) != 0x01020304 {
					t.Errorf("message %#x to queue %#x, verdict % x", kind, body[2:4], v)
				}
				packet := attribute(body[nfgenmsgLen:], attrPayload)
				wantValidSums(t, packet)
				first := gopacket.LayerType(layers.LayerTypeIPv4)
				if v6 {
					first = layers.LayerTypeIPv6
				}
				g := gopacket.NewPacket(packet, first, gopacket.Default)
				tcp, _ := g.TransportLayer().(*layers.TCP)
				if tcp == nil || string(tcp.Payload) != string(payload) || tcp.Seq != 5 || tcp.Ack != 6 {
					t.Errorf("the packet is %v", g)
				}
				ttl := uint8(0)
				switch ip := g.NetworkLayer().(type) {
				case *layers.IPv4:
					ttl = ip.TTL
				case *layers.IPv6:
					ttl = ip.HopLimit
				}
				if ttl != 59 {
					t.Errorf("TTL %d, want 59", ttl)
				}
			}
			if c := o.counters; c.Packets != 1 || c.Carried != 1 || c.Octets != uint64(m.length+len(payload)) {
				t.Errorf("counted %+v", c)
			}
		}
	}
}

// What cannot be carried leaves by the TUN device.
func TestWhatIsNotCarried(t *testing.T) {
	m, p := answer(1, false)
	for _, c := range []struct {
		name string
		leg  endpoint.Leg
		h    endpoint.IPHeader
		n    int
	}{
		{"to a server", endpoint.Server, endpoint.IPHeader{}, 1},
		{"super-packet", endpoint.Client, endpoint.IPHeader{}, 1001},
		{"last hop", endpoint.Client, endpoint.IPHeader{TTL: 1}, 1},
		{"corrupted", endpoint.Client, endpoint.IPHeader{Corrupt: 1}, 1},
		{"long", endpoint.Client, endpoint.IPHeader{}, maxCarried},
	} {
		o, tun, _ := newCarryingOutput(t, nil)
		o.carriers.add(m, p)
		s := endpoint.Segment{Flags: endpoint.ACK, MSS: 1000, Payload: make([]byte, c.n)}
		if c.n == maxCarried {
			s.MSS = c.n
		}
		if err := o.segment(c.leg, &p.Tuple, c.h, &s); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, tun[c.leg]); got == "" || o.counters.Carried != 0 {
			t.Errorf("%s: %d octets to the device, %d carried", c.name, len(got), o.counters.Carried)
		}
	}
}

// Verdicts that follow each other are written together, and nothing overtakes
// anything: neither among the verdicts nor between them and the device.
func TestCarriedPacketsKeepTheirOrder(t *testing.T) {
	b := &batch{testRing(t)}
	// One file for both, so that its order is that of all writes.
	write, read := datagrams(t)
	o := newOutput([2]int{write, -1}, [2]int{-1, -1}, b)
	o.carriers.on = true
	o.verdicts = verdictWay{fd: write, others: &verdicts{}, written: func(int, unix.Errno) {}}
	device, err := unix.Dup(write)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(device)
	o.fds[endpoint.Client] = device
	m, p := answer(1, false)
	send := func(carried bool, seq endpoint.Seq) {
		t.Helper()
		if carried {
			o.carriers.add(m, p)
		}
		s := endpoint.Segment{Seq: seq, Flags: endpoint.ACK, MSS: 1000}
		if err := o.segment(endpoint.Client, &p.Tuple, endpoint.IPHeader{}, &s); err != nil {
			t.Fatal(err)
		}
	}
	for i, carried := range []bool{true, true, true, false, true, false, false, true, true} {
		send(carried, endpoint.Seq(i))
	}
	b.flush()
	var got []string
	next := byte(0)
	for _, want := range []int{3, 0, 1, 0, 0, 2} { // verdicts in a write; 0 is the device
		raw := []byte(receive(t, read))
		n, tcp := 0, raw[vnetHeaderLen+ipv4HeaderLen:]
		if want > 0 {
			for _, body := range messages(raw) {
				tcp = attribute(body[nfgenmsgLen:], attrPayload)[ipv4HeaderLen:]
				if tcp[7] != next {
					t.Errorf("segment %d came, want %d", tcp[7], next)
				}
				next++
				n++
			}
		} else {
			if tcp[7] != next {
				t.Errorf("segment %d came, want %d", tcp[7], next)
			}
			next++
		}
		if n != want {
			t.Errorf("a write has %d verdicts, want %d", n, want)
		}
		got = append(got, string(raw))
	}
	if next != 9 || receive(t, read) != "" {
		t.Errorf("%d segments in %d writes, want 9 in 6", next, len(got))
	}
}

func TestCarryingDoesNotAllocate(t *testing.T) {
	for _, b := range []*batch{nil, {testRing(t)}} {
		o, _, verdicts := newCarryingOutput(t, b)
		m, p := answer(1, false)
		s := endpoint.Segment{Flags: endpoint.ACK, MSS: 1000, Payload: make([]byte, 100)}
		buf := make([]byte, 1<<16)
		if n := testing.AllocsPerRun(200, func() {
			o.carriers.add(m, p)
			_ = o.segment(endpoint.Client, &p.Tuple, endpoint.IPHeader{}, &s)
			o.batch.flush()
			o.carriers.clear()
			_, _ = unix.Read(verdicts, buf)
		}); n != 0 {
			t.Errorf("%v allocations for a segment, want none", n)
		}
		if o.counters.Carried == 0 {
			t.Error("nothing was carried")
		}
	}
}

// Once a packet has left by the device, those of its connection that follow in the
// same turn do so too, and other connections are not concerned.
func TestNothingIsCarriedPastTheDevice(t *testing.T) {
	o, tun, given := newCarryingOutput(t, nil)
	m, p := answer(1, false)
	o.carriers.add(m, p)
	o.carriers.add(m, p)
	other := *p
	other.DstPort++
	o.carriers.add(m, &other)
	long := endpoint.Segment{Flags: endpoint.ACK, MSS: 1000, Payload: make([]byte, 3000)}
	short := endpoint.Segment{Flags: endpoint.ACK, MSS: 1000, Payload: make([]byte, 30)}
	for _, s := range []*endpoint.Segment{&long, &short} {
		if err := o.segment(endpoint.Client, &p.Tuple, endpoint.IPHeader{}, s); err != nil {
			t.Fatal(err)
		}
		if receive(t, tun[endpoint.Client]) == "" || o.counters.Carried > 0 {
			t.Errorf("a segment of %d octets was carried", len(s.Payload))
		}
	}
	if err := o.segment(endpoint.Client, &other.Tuple, endpoint.IPHeader{}, &short); err != nil {
		t.Fatal(err)
	}
	if receive(t, given) == "" || o.counters.Carried != 1 || o.carriers.left != 0 {
		t.Errorf("of the other connection %d were carried, with %d carriers left", o.counters.Carried, o.carriers.left)
	}
}

// Verdicts that the kernel did not get are made up for by the next batch.
func TestLostVerdictsAreGivenAgain(t *testing.T) {
	q := &queue{}
	q.given(0, unix.ENOMEM)
	if b := q.verdicts.take(); len(b) > 0 {
		t.Error("a batch is given before there was a packet")
	}
	q.verdicts.dropUpTo(7)
	q.verdicts.spare()
	q.given(0, unix.ENOMEM)
	batches := 0
	for kind, b := range messages(q.verdicts.take()) {
		if kind != msgVerdictBatch || binary.BigEndian.Uint32(b[12:]) != 7 {
			t.Errorf("message %#x up to %d, want a batch up to 7", kind, binary.BigEndian.Uint32(b[12:]))
		}
		batches++
	}
	if batches != 1 || q.counters.VerdictErrors != 2 || len(q.verdicts.take()) > 0 {
		t.Errorf("%d batches, %d errors counted; want 1 and 2, and nothing after", batches, q.counters.VerdictErrors)
	}
}

// In a network namespace of another user namespace nothing is carried.
func TestCarryingNeedsTheHostsUserNamespace(t *testing.T) {
	inNamespace(t, newNamespace(t), func() {
		if !mayCarry() {
			t.Error("a namespace of the host's may not carry")
		}
	})
	foreign := exec.Command("unshare", "--user", "--net", "sleep", "60")
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	defer foreign.Wait()
	defer foreign.Process.Kill()
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/ns/", foreign.Process.Pid)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if its, err := os.Readlink(path + "user"); err == nil && its != own {
			break
		}
		if time.Now().After(end) {
			t.Fatal("unshare has made no namespace")
		}
	}
	ns, err := netns.GetFromPath(path + "net")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	inNamespace(t, ns, func() {
		if mayCarry() {
			t.Error("a namespace that belongs to another user namespace may carry")
		}
	})
}

// The kernel's part: answers go on with what the shard sends, through a strict
// firewall and NAT, and rules of the host's behind ours see each of them.
func TestAnswersCarry(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		in          Intercept
	}{
		{"plain", "", Intercept{ClientSide: []string{"lan"}}},
		{"by nothing", "", Intercept{}},
		{"strict firewall and NAT", strictFirewall, Intercept{Ports: port80}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			run(t, l.gateway, c.rules+`
				for p in iptables ip6tables; do $p -t mangle -A POSTROUTING -o lan -p tcp -m comment --comment seen -j DSCP --set-dscp 12; done`)
			server := listen(t, l.server, ":80")
			relays := startRelays(t, l.gateway, c.in, 80, nil)
			relays[0].stop()
			relays[0].stopped, relays[0].afterwards, relays[0].done = false, true, make(chan struct{})
			go relays[0].loop()
			for _, a := range []string{"10.91.2.2:80", "[fd91:2::2]:80"} {
				wantQuestions(t, l, server, a, 200)
			}
			relays[0].stop()
			relays[0].port.Flush() // the last answer's verdict may still wait
			counted := relays[0].port.Counters()
			if counted.Send.Carried < 400 || counted.Queue.VerdictErrors > 0 || counted.Send.Lost > 0 {
				t.Errorf("%d packets were carried, want 400 and more; counted %+v", counted.Send.Carried, counted)
			}
			wantCounter(t, l, "invalid", 0)
			seen := 0
			for _, program := range []string{"iptables", "ip6tables"} {
				for line := range strings.Lines(run(t, l.gateway, program+" -t mangle -vnxL POSTROUTING")) {
					if strings.Contains(line, "/* seen */") {
						n := 0
						for _, d := range strings.Fields(line)[0] {
							n = n*10 + int(d-'0')
						}
						seen += n
					}
				}
			}
			if seen < int(counted.Send.Carried) {
				t.Errorf("the host's own rule saw %d packets, want %d and more", seen, counted.Send.Carried)
			}
		})
	}
}

// wantQuestions asks a server n times on one connection; it answers each before
// the next one comes.
func wantQuestions(t *testing.T, l *lab, server net.Listener, address string, n int) {
	t.Helper()
	go func() {
		c, err := server.Accept()
		if err != nil {
			t.Errorf("server: %v", err)
			return
		}
		defer c.Close()
		if _, err := io.Copy(c, c); err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	c, err := dial(t, l.client, address)
	if err != nil {
		t.Fatal(err)
	}
	question, got := make([]byte, 1000), make([]byte, 1000)
	for i := range n {
		rand.Read(question)
		size := 1 + i*5%len(question)
		if _, err := c.Write(question[:size]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got[:size]); err != nil || !bytes.Equal(got[:size], question[:size]) {
			t.Fatalf("%s: answer %d of %d octets is wrong: %v", address, i, size, err)
		}
	}
	c.Close()
}
