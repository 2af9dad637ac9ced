package splice

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"tcpmitm/endpoint"
)

// maxIdleOctets is what an idle spliced connection may cost: both legs, its
// places in the flow table, its timer.
const maxIdleOctets = 3 << 10

// quietDevice takes segments and forgets them; it notes the last one of each
// leg.
type quietDevice struct {
	fakeDevice
	last [2]endpoint.Segment
}

func (d *quietDevice) Send(l endpoint.Leg, _ *endpoint.Tuple, _ Header, s *endpoint.Segment) error {
	d.last[l] = *s
	return nil
}

// idleShard makes a shard with n connections that have exchanged a request
// and an answer and now do nothing, and tells how much heap each takes.
func idleShard(tb testing.TB, n int) (s *Shard, octets float64) {
	d := &quietDevice{}
	d.now = endpoint.Time(time.Hour)
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(0)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s = NewShard(d, Options{Endpoint: cfg, Secret: [32]byte{1}})
	server := netip.MustParseAddrPort("10.2.0.2:80")
	in := func(l endpoint.Leg, t endpoint.Tuple, seg endpoint.Segment) {
		p := &endpoint.Packet{Tuple: t, Segment: seg, Hook: endpoint.Late, TTL: 60}
		if l == endpoint.Client && !isSYN(&seg) {
			p.Hook = endpoint.Early
		}
		s.HandlePacket(d.now, p)
		s.Transmit(d.now)
	}
	const all = endpoint.HasMSS | endpoint.HasWindowScale | endpoint.HasSACKPermitted | endpoint.HasTimestamps
	syn := endpoint.Options{Has: all, MSS: 1460, WindowScale: 7, TSVal: 1}
	ts := endpoint.Options{Has: endpoint.HasTimestamps, TSVal: 2}
	for i := range n {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), 1024+uint16(i&0xff))
		c := endpoint.NewTuple(client, server)
		v := c.Reverse()
		in(endpoint.Client, c, endpoint.Segment{Seq: 100, Flags: endpoint.SYN, Window: 65535, Options: syn})
		iss := d.last[endpoint.Server].Seq
		in(endpoint.Server, v, endpoint.Segment{Seq: 500, Ack: iss + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 65535, Options: syn})
		ours := d.last[endpoint.Client].Seq
		in(endpoint.Client, c, endpoint.Segment{Seq: 101, Ack: ours + 1, Flags: endpoint.ACK, Window: 500, Options: ts})
		in(endpoint.Client, c, endpoint.Segment{Seq: 101, Ack: ours + 1, Flags: endpoint.ACK | endpoint.PSH, Window: 500, Options: ts, Payload: make([]byte, 300)})
		in(endpoint.Server, v, endpoint.Segment{Seq: 501, Ack: iss + 301, Flags: endpoint.ACK | endpoint.PSH, Window: 500, Options: ts, Payload: make([]byte, 900)})
		in(endpoint.Client, c, endpoint.Segment{Seq: 401, Ack: ours + 901, Flags: endpoint.ACK, Window: 500, Options: ts})
		d.now = d.now.Add(100 * time.Microsecond)
		s.HandleTimeouts(d.now)
		s.Transmit(d.now)
	}
	d.now = d.now.Add(time.Minute)
	s.HandleTimeouts(d.now)
	s.Transmit(d.now)
	if c := s.Counters(); c.Flows != n || c.HalfOpen != 0 || c.PoolInUse != 0 {
		tb.Fatalf("%d flows, %d half-open, %d octets in buffers; want %d, none, none", c.Flows, c.HalfOpen, c.PoolInUse, n)
	}
	return s, float64(heap()-before) / float64(n)
}

func TestAnIdleConnectionIsSmall(t *testing.T) {
	s, octets := idleShard(t, 20000)
	if octets > maxIdleOctets {
		t.Errorf("an idle connection takes %.0f octets, allowed are %d", octets, maxIdleOctets)
	}
	runtime.KeepAlive(s)
}

// BenchmarkIdleConnections prints what an idle connection takes at 100,000 of
// them, and where it goes.
func BenchmarkIdleConnections(b *testing.B) {
	var octets float64
	for b.Loop() {
		var s *Shard
		s, octets = idleShard(b, 100000)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(octets, "octets/connection")
	b.ReportMetric(float64(unsafe.Sizeof(flow{})), "octets/flow")
	b.ReportMetric(float64(unsafe.Sizeof(leg{})), "octets/leg")
	b.ReportMetric(float64(unsafe.Sizeof(endpoint.Endpoint{})), "octets/endpoint")
	b.ReportMetric(float64(2*(unsafe.Sizeof(endpoint.Tuple{})+unsafe.Sizeof(legRef{}))), "octets/entries")
}
