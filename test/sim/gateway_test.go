package sim

import (
	"net/netip"
	"sync/atomic"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// gateway is the host in the middle: shards, and the kernel around them.
type gateway struct {
	w   *world
	d   draws
	opt splice.Options
	set atomic.Pointer[rules.Set]
	// towards are the links out, by leg.
	towards [2]*link
	engines []*engine
	// bothHooks: without hints the kernel shows a server's packets before
	// connection tracking as well.
	bothHooks bool
	misqueue  float64 // how often a packet comes to another shard's queue
	stall     float64 // how often the process gets no time for a while
	referees  map[legOf]*referee
	closed    []splice.Summary
	stopped   bool
	bound     int64 // what the pools may hold, in octets
	watcher   splice.Observer
	fired     [64]int // faults, by what they do
	badSums   int
	// spoil, if set, changes what the gateway sends: a test of the tests.
	spoil func(endpoint.Leg, *endpoint.Segment)
}

type legOf struct {
	conn uint64
	leg  endpoint.Leg
}

// engine is one shard with its queue, and its Device.
type engine struct {
	*gateway
	shard *splice.Shard
	pool  *endpoint.Pool
	inbox []arrived
	awake bool
	alarm endpoint.Time
	deaf  bool // the alarm does not ring: a test of the tests
}

type arrived struct {
	from endpoint.Leg
	at   endpoint.Time
	p    packet
}

// Now implements splice.Device.
func (g *engine) Now() endpoint.Time { return g.w.now }

// Send implements splice.Device.
func (g *engine) Send(l endpoint.Leg, t *endpoint.Tuple, h splice.Header, s *endpoint.Segment) error {
	c := *s
	if g.spoil != nil {
		g.spoil(l, &c)
	}
	encode(*t, &c, g.towards[l].merge, func(p packet) {
		if h.Corrupt != 0 {
			p.invert(h.Corrupt - 1)
		}
		if l == endpoint.Client {
			g.w.note("gateway>client", &p)
		} else {
			g.w.note("gateway>server", &p)
		}
		g.towards[l].send(p)
	})
	return nil
}

// SendPacket implements splice.Device. The kernel routes it by its
// destination, or an ICMP error by the source that it quotes.
func (g *engine) SendPacket(_ endpoint.Leg, taken *endpoint.Packet) error {
	p := fromRaw(taken.Raw)
	to := p.tuple.Dst
	if p.icmp != nil {
		to = p.tuple.Src
	}
	g.w.note("gateway passes on", &p)
	g.towards[sideOf(to)].send(p)
	return nil
}

// sideOf tells on which side an address lies.
func sideOf(a [16]byte) endpoint.Leg {
	if a == clientAddr4.As16() || a == clientAddr6.As16() {
		return endpoint.Client
	}
	return endpoint.Server
}

var (
	clientAddr4, serverAddr4 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.2")
	clientAddr6, serverAddr6 = netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:2::2")
)

// SendUnreachable implements splice.Device.
func (*engine) Flush() {}

func (g *engine) SendUnreachable(l endpoint.Leg, _ splice.Header, e *endpoint.ICMPError, t *endpoint.Tuple, s *endpoint.Segment) error {
	c := *e
	p := packet{tuple: *t, icmp: &c, seq: s.Seq}
	g.w.note("gateway reports", &p)
	g.towards[l].send(p)
	return nil
}

// Receive implements splice.Device.
func (g *engine) Receive(time.Duration, splice.Handler) error {
	panic("the simulator drives the shard")
}

// Wake implements splice.Device.
func (g *engine) Wake() { g.wakeSoon() }

// Segment implements splice.Observer.
func (g *gateway) Segment(e *splice.SegmentEvent) {
	if g.watcher != nil {
		g.watcher.Segment(e)
	}
	k := legOf{e.Conn, e.Leg}
	r := g.referees[k]
	if r == nil {
		r = &referee{w: g.w, name: "the gateway's leg towards the " + e.Leg.String(), state: e.Before}
		// A rule may hold back what was decided, and let out an older ACK after
		// a newer one.
		r.forgets = e.Rule == "wire" || e.Rule == momentsRule
		r.shrinks = r.forgets
		g.referees[k] = r
		if e.Before > endpoint.SynSent {
			// A connection from a SYN cookie: nothing was kept of the SYN.
			r.irs, r.knowsIRS, r.received = e.IRS, true, e.IRS+1
		}
	}
	if !e.Out || !r.forgets {
		// The parts of a segment that was split all have the state before it.
		r.becomes(e.Before)
	}
	if e.Out {
		r.out(e.Segment, e.Scale)
	} else {
		r.in(e.Segment, e.Scale)
	}
	r.becomes(e.After)
}

// Fault implements splice.Observer.
func (g *gateway) Fault(e *splice.FaultEvent) {
	g.fired[e.Do]++
	if g.watcher != nil {
		g.watcher.Fault(e)
	}
}

// Closed implements splice.Observer.
func (g *gateway) Closed(s *splice.Summary) {
	if g.watcher != nil {
		g.watcher.Closed(s)
	}
	g.closed = append(g.closed, *s)
}

// receive takes a packet from a link; a shard sees it with its next burst.
func (g *gateway) receive(from endpoint.Leg, p packet) {
	port := p.tuple.DstPort
	if from == endpoint.Client {
		port = p.tuple.SrcPort
	}
	if p.icmp != nil {
		port = p.tuple.SrcPort // the kernel spreads errors as it likes
	}
	n := g.shardOf(port)
	if len(g.engines) > 1 && g.d.chance(g.misqueue) {
		n = g.d.IntN(len(g.engines))
	}
	e := g.engines[n]
	e.inbox = append(e.inbox, arrived{from, g.w.now, p})
	e.wakeSoon()
}

func (g *gateway) shardOf(port uint16) int { return int(port) % len(g.engines) }

func (g *engine) wakeSoon() {
	if g.awake {
		return
	}
	g.awake = true
	d := g.d.between(0, 300*time.Microsecond)
	if g.d.chance(g.stall) {
		d = g.d.between(0, 500*time.Millisecond)
	}
	g.w.after(d, g.turn)
}

// turn is one round of the driving loop of package splice.
func (g *engine) turn() {
	g.awake = false
	for i := range g.inbox {
		g.judge(&g.inbox[i])
	}
	clear(g.inbox)
	g.inbox = g.inbox[:0]
	g.shard.ReadMail()
	g.shard.Transmit(g.w.now)
	g.shard.HandleTimeouts(g.w.now)
	g.shard.Transmit(g.w.now)
	if err := g.shard.CheckInvariants(); err != nil {
		g.w.fail("invariant: %v", err)
	}
	g.setAlarm()
}

func (g *engine) setAlarm() {
	at := g.shard.NextTimeout()
	if at == endpoint.Never || g.deaf || g.alarm > g.w.now && g.alarm <= at {
		return
	}
	at = max(at, g.w.now)
	g.alarm = at
	g.w.at(at, func() {
		if g.alarm == at {
			g.alarm = 0
			g.turn()
		}
	})
}

// judge shows a packet to the shard as the kernel would, and sends on what it
// does not take.
func (g *engine) judge(a *arrived) {
	g.w.note("  >gateway", &a.p)
	p := &endpoint.Packet{Tuple: a.p.tuple, Hook: endpoint.Late, TTL: 60, Raw: a.p.raw()}
	var buf *endpoint.Buffer
	if a.p.icmp != nil {
		p.ICMP, p.Segment = a.p.icmp, endpoint.Segment{Seq: a.p.seq}
	} else {
		tcp := a.p.tcp
		if g.d.chance(0.5) {
			// Half of the packets lie in a slab, as from the real device.
			buf = g.pool.Get(endpoint.SlabSize)
			tcp = buf.Bytes()[:copy(buf.Bytes(), tcp)]
		}
		copied := packet{tuple: a.p.tuple, ecn: a.p.ecn, tcp: tcp}
		if !copied.decode(&p.Segment) {
			// Its receiver would drop it for certain, and so it is dropped.
			g.badSums++
			if buf != nil {
				buf.Release()
			}
			return
		}
		p.Segment.Buffer = buf
	}
	const syn = endpoint.SYN | endpoint.ACK | endpoint.RST | endpoint.FIN
	if a.from == endpoint.Client && p.ICMP == nil && p.Flags&syn != endpoint.SYN {
		p.Hook = endpoint.Early
	}
	if a.from == endpoint.Server && p.ICMP == nil && p.Flags&syn == endpoint.SYN && !g.dials(&a.p.tuple) {
		// The firewall rules take what goes to servers, and this does not.
		if buf != nil {
			buf.Release()
		}
		g.towards[endpoint.Client].send(a.p)
		return
	}
	if a.from == endpoint.Server && g.bothHooks && p.ICMP == nil && len(g.engines) == 1 {
		p.Hook = endpoint.Early
		if g.shard.HandlePacket(a.at, p) != endpoint.Accept && g.shard.Counters().CookiesSent == 0 {
			// By chance, one of 8,192 numbers looks like a cookie.
			g.w.fail("a server's packet was taken before connection tracking")
		}
		p.Hook = endpoint.Late
	}
	verdict := g.shard.HandlePacket(a.at, p)
	if buf != nil {
		buf.Release()
	}
	if verdict == endpoint.Accept {
		g.towards[a.from.Other()].send(a.p)
	}
}

// dials tells whether a server's packet is of a connection that a shard has
// towards it.
func (g *gateway) dials(t *endpoint.Tuple) bool {
	for _, e := range g.engines {
		for _, c := range e.shard.Connections(g.w.now, nil, -1) {
			if c.Target == t.Source() && c.Client == t.Destination() {
				return true
			}
		}
	}
	return false
}

// behind finds the initial sequence number of the client for whom a SYN
// arrives at the server: its own if it has gone past the shards.
func (g *gateway) behind(t endpoint.Tuple, isn endpoint.Seq) endpoint.Seq {
	for _, e := range g.engines {
		for _, c := range e.shard.Connections(g.w.now, nil, -1) {
			if c.Target == t.Destination() && c.Client == t.Source() && c.Legs[endpoint.Server].ISS == isn {
				return c.Legs[endpoint.Client].IRS
			}
		}
	}
	return isn
}

// checkBounds is called after everything that happens: what a shard has is
// bounded.
func (g *gateway) checkBounds() {
	var all splice.Counters
	for _, e := range g.engines {
		c := e.shard.Counters()
		all.Add(&c)
	}
	b := g.opt.Budget
	conns, half := b.InUse()
	switch {
	case b.Connections > 0 && conns > b.Connections:
		g.w.fail("%d connections, %d allowed", conns, b.Connections)
	case conns != int64(all.Flows):
		g.w.fail("the budget counts %d connections, the shards have %d", conns, all.Flows)
	case half != int64(all.HalfOpen):
		g.w.fail("the budget counts %d handshakes, the shards have %d", half, all.HalfOpen)
	case all.PoolInUse > g.bound*int64(1+all.Flows+all.Lingering):
		g.w.fail("%d connections hold %d octets of buffers, allowed are %d for each", all.Flows+all.Lingering, all.PoolInUse, g.bound)
	case all.InWire > faults.MaxHeldSegments*(all.Flows+all.Lingering):
		g.w.fail("%d segments are held of %d connections", all.InWire, all.Flows)
	}
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
