package splice

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"tcpmitm/endpoint"
)

// flowCounts are the numbers of flows at which costs are compared: none may
// grow with them but for what the processor's caches do not hold.
var flowCounts = []int{1, 10, 1000, 100000}

// crowd is a shard with many spliced connections, and what their peers know.
type crowd struct {
	shard *Shard
	dev   *sink
	now   endpoint.Time
	peers []crowdPeer
	slab  *endpoint.Buffer
	data  endpoint.Packet
	ack   endpoint.Packet
}

// crowdPeer is what the two peers of one connection send next.
type crowdPeer struct {
	in                   endpoint.Tuple
	clientSeq, clientAck endpoint.Seq
	serverSeq, serverAck endpoint.Seq
}

const crowdPayload = 1000 // octets of a segment with data

func newCrowd(tb testing.TB, n int) *crowd {
	c := &crowd{dev: &sink{}, peers: make([]crowdPeer, n)}
	c.dev.now = endpoint.Time(time.Hour)
	c.now = c.dev.now
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(0)
	ledger := NewLedger(ledgerMemory(1+n/LedgerChunk), always)
	c.shard = NewShard(c.dev, Options{Endpoint: cfg, EndsOnly: true, Ledger: ledger})
	for i := range c.peers {
		c.connect(i)
	}
	if got := c.shard.Counters().Flows; got != n {
		tb.Fatalf("%d connections are spliced, want %d", got, n)
	}
	c.slab = cfg.Pool.Get(endpoint.SlabSize)
	return c
}

// connect opens the i-th connection.
func (c *crowd) connect(i int) {
	client := netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), 1})
	in := endpoint.NewTuple(netip.AddrPortFrom(client, uint16(i)), addrPort("10.2.0.2:80"))
	opt := endpoint.Options{Has: endpoint.HasMSS | endpoint.HasWindowScale, WindowScale: 7, MSS: 1460}
	c.give(endpoint.Late, in, endpoint.Segment{Seq: 99, Flags: endpoint.SYN, Window: 60000, Options: opt})
	serverISS := c.dev.seq[endpoint.Server]
	c.give(endpoint.Late, in.Reverse(), endpoint.Segment{Seq: 199, Ack: serverISS + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 60000, Options: opt})
	clientISS := c.dev.seq[endpoint.Client]
	c.give(endpoint.Early, in, endpoint.Segment{Seq: 100, Ack: clientISS + 1, Flags: endpoint.ACK, Window: 60000})
	c.peers[i] = crowdPeer{in: in, clientSeq: 100, clientAck: clientISS + 1, serverSeq: 200, serverAck: serverISS + 1}
}

func (c *crowd) give(hook endpoint.Hook, t endpoint.Tuple, seg endpoint.Segment) {
	c.shard.HandlePacket(c.now, &endpoint.Packet{Tuple: t, Hook: hook, Segment: seg})
	c.turn()
}

func (c *crowd) turn() {
	c.shard.Transmit(c.now)
	c.shard.HandleTimeouts(c.now)
	c.shard.Transmit(c.now)
}

// round has the client of a connection send a segment and the server
// acknowledge it: two segments in, two out.
func (c *crowd) round(i int) {
	p := &c.peers[i]
	c.now += endpoint.Time(20 * time.Microsecond)
	c.dev.now = c.now
	c.data = endpoint.Packet{Tuple: p.in, Hook: endpoint.Early, Segment: endpoint.Segment{
		Seq: p.clientSeq, Ack: p.clientAck, Flags: endpoint.ACK | endpoint.PSH, Window: 60000,
		Buffer: c.slab, Payload: c.slab.Bytes()[:crowdPayload]}}
	c.shard.HandlePacket(c.now, &c.data)
	c.turn()
	p.clientSeq = p.clientSeq.Plus(crowdPayload)
	p.serverAck = p.serverAck.Plus(crowdPayload)
	c.ack = endpoint.Packet{Tuple: p.in.Reverse(), Hook: endpoint.Late, Segment: endpoint.Segment{
		Seq: p.serverSeq, Ack: p.serverAck, Flags: endpoint.ACK, Window: 60000}}
	c.shard.HandlePacket(c.now, &c.ack)
	c.turn()
}

// TestCrowdMovesWhatItCounts: the benchmarks below measure what they say.
func TestCrowdMovesWhatItCounts(t *testing.T) {
	const flows, rounds = 10, 50
	c := newCrowd(t, flows)
	for n := range flows * rounds {
		c.round(n % flows)
	}
	for _, conn := range c.shard.Connections(c.now, nil, -1) {
		if got := conn.Legs[endpoint.Server].Delivered; got != rounds*crowdPayload {
			t.Errorf("connection %d: %d octets delivered, want %d", conn.Conn, got, rounds*crowdPayload)
		}
	}
}

// BenchmarkFlowsInTurn is the cost of a segment through the splice and its
// acknowledgement if all flows are busy, one after the other: the worst for
// the processor's caches.
func BenchmarkFlowsInTurn(b *testing.B) {
	for _, n := range flowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n)
			for i := range max(n, 1000) {
				c.round(i % n)
			}
			// The collector's walk over the flows that were just made is not
			// the segments' cost.
			runtime.GC()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.round(i)
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkBusyFlow is the same for ten flows that are busy while all the
// others are idle.
func BenchmarkBusyFlow(b *testing.B) {
	for _, n := range flowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n)
			busy := min(n, 10)
			for i := range 1000 {
				c.round(i % busy)
			}
			runtime.GC()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.round(i % busy)
				i++
			}
		})
	}
}

// BenchmarkLookup is the flow table alone, asked for each flow in turn.
func BenchmarkLookup(b *testing.B) {
	for _, n := range flowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n)
			i, missing := 0, 0
			for b.Loop() {
				if _, ok := c.shard.flows[c.peers[i].in]; !ok {
					missing++
				}
				if i++; i == n {
					i = 0
				}
			}
			if missing > 0 {
				b.Errorf("%d flows were not found", missing)
			}
		})
	}
}

// BenchmarkConnect is the splice's share of a connection's life: both
// handshakes, and a RST that ends it.
func BenchmarkConnect(b *testing.B) {
	for _, n := range flowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n)
			b.ReportAllocs()
			for b.Loop() {
				p := &c.peers[n-1]
				c.give(endpoint.Early, p.in, endpoint.Segment{Seq: p.clientSeq, Flags: endpoint.RST})
				c.connect(n - 1)
			}
		})
	}
}

// BenchmarkTimer sets a timer and has it fire, among others that wait.
func BenchmarkTimer(b *testing.B) {
	for _, n := range flowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := &wheel{}
			now := endpoint.Time(time.Hour)
			w.advance(now, nil)
			waiting := make([]flow, n)
			for i := range waiting {
				f := &waiting[i]
				f.timer.owner = f
				w.set(&f.timer, now.Add(365*24*time.Hour+time.Duration(i)*time.Millisecond))
			}
			one := &flow{}
			one.timer.owner = one
			fired := 0
			b.ReportAllocs()
			for b.Loop() {
				w.set(&one.timer, now.Add(200*time.Millisecond))
				w.set(&one.timer, now.Add(2*time.Millisecond))
				now = now.Add(4 * time.Millisecond)
				w.advance(now, func(sleeper) { fired++ })
			}
			if fired == 0 {
				b.Error("no timer fired")
			}
		})
	}
}

// TestQuietConnectionIsSmall: what the heap holds for a spliced connection that
// has carried something, and carries nothing at the moment, the flow table
// included.
func TestQuietConnectionIsSmall(t *testing.T) {
	// The flow table's share is from 50 to 200 octets, as its last growth was
	// just before or long ago.
	const flows, limit = 20_000, 3 << 10
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := newCrowd(t, flows)
	for i := range flows {
		c.round(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc) - flows*int64(unsafe.Sizeof(crowdPeer{}))) / flows
	if each > limit {
		t.Errorf("an idle connection takes %d octets, more than %d", each, limit)
	}
	t.Logf("an idle connection takes %d octets", each)
	runtime.KeepAlive(c)
}
