package sim

import (
	"net/netip"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// gateway is the host in the middle: a shard, and the kernel around it.
type gateway struct {
	w     *world
	shard *splice.Shard
	pool  *endpoint.Pool
	// towards are the links out, by leg; the server's may ask twice.
	towards [2]*link
	inbox   []arrived
	awake   bool
	alarm   endpoint.Time
	// bothHooks: without hints the kernel shows a server's packets before
	// connection tracking as well.
	bothHooks bool
	closed    []splice.Summary
	stopped   bool
}

type arrived struct {
	from endpoint.Leg
	at   endpoint.Time
	p    packet
}

// Now, Send, SendPacket, SendUnreachable, Receive and Wake are the Device.
func (g *gateway) Now() endpoint.Time { return g.w.now }

// Send implements splice.Device.
func (g *gateway) Send(l endpoint.Leg, t *endpoint.Tuple, _ splice.Header, s *endpoint.Segment) error {
	c := *s
	for _, p := range encode(*t, &c, g.towards[l].merge) {
		g.w.note("gateway>"+l.String(), &p)
		g.towards[l].send(p)
	}
	return nil
}

// SendPacket implements splice.Device; a raw packet is its tuple and its TCP
// octets.
func (g *gateway) SendPacket(l endpoint.Leg, raw []byte) error {
	p := fromRaw(raw)
	g.w.note("gateway>>"+l.String(), &p)
	g.towards[l].send(p)
	return nil
}

// SendUnreachable implements splice.Device.
func (g *gateway) SendUnreachable(endpoint.Leg, *endpoint.ICMPError, *endpoint.Tuple, *endpoint.Segment) error {
	panic("no ICMP in the simulation")
}

// Receive implements splice.Device.
func (g *gateway) Receive(time.Duration, splice.Handler) error {
	panic("the simulator drives the shard")
}

// Wake implements splice.Device.
func (g *gateway) Wake() {}

// Segment implements splice.Observer.
func (g *gateway) Segment(*splice.SegmentEvent) {}

// Fault implements splice.Observer.
func (g *gateway) Fault(*splice.FaultEvent) {}

// Closed implements splice.Observer.
func (g *gateway) Closed(s *splice.Summary) { g.closed = append(g.closed, *s) }

func toRaw(p packet) []byte {
	raw := append([]byte{p.ecn}, p.tuple.Src[:]...)
	raw = append(raw, p.tuple.Dst[:]...)
	return append(raw, p.tcp...)
}

func fromRaw(raw []byte) packet {
	p := packet{ecn: raw[0], tcp: append([]byte(nil), raw[33:]...)}
	copy(p.tuple.Src[:], raw[1:])
	copy(p.tuple.Dst[:], raw[17:])
	var s endpoint.Segment
	p.tuple.SrcPort, p.tuple.DstPort, _ = endpoint.ParseSegment(p.tcp, &s)
	return p
}

// receive takes a packet from a link; the shard sees it with the next burst.
func (g *gateway) receive(from endpoint.Leg, p packet) {
	g.inbox = append(g.inbox, arrived{from, g.w.now, p})
	if !g.awake {
		g.awake = true
		g.w.after(g.w.between(0, 300*time.Microsecond), g.turn)
	}
}

// turn is one round of the driving loop of package splice.
func (g *gateway) turn() {
	g.awake = false
	for _, a := range g.inbox {
		g.judge(a)
	}
	g.inbox = g.inbox[:0]
	g.shard.Transmit(g.w.now)
	g.shard.HandleTimeouts(g.w.now)
	g.shard.Transmit(g.w.now)
	if err := g.shard.CheckInvariants(); err != nil {
		g.w.fail("invariant: %v", err)
	}
	g.setAlarm()
}

func (g *gateway) setAlarm() {
	at := g.shard.NextTimeout()
	if at == endpoint.Never || g.alarm > g.w.now && g.alarm <= at {
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
func (g *gateway) judge(a arrived) {
	g.w.note(a.from.String()+">gateway", &a.p)
	p := &endpoint.Packet{Tuple: a.p.tuple, Hook: endpoint.Late, TTL: 60, Raw: toRaw(a.p)}
	tcp := a.p.tcp
	var buf *endpoint.Buffer
	if g.w.chance(0.5) {
		// Half of the packets lie in a slab, as from the real device.
		buf = g.pool.Get(endpoint.SlabSize)
		tcp = buf.Bytes()[:copy(buf.Bytes(), tcp)]
	}
	if _, _, why := endpoint.ParseSegment(tcp, &p.Segment); why != endpoint.ReasonNone {
		g.w.fail("somebody sent a segment that is none: %v", why)
	}
	p.Segment.Buffer = buf
	p.Segment.ECN = a.p.ecn
	const syn = endpoint.SYN | endpoint.ACK | endpoint.RST | endpoint.FIN
	if a.from == endpoint.Client && p.Flags&syn != endpoint.SYN {
		p.Hook = endpoint.Early
	}
	verdict := endpoint.Accept
	if a.from == endpoint.Server && g.bothHooks {
		p.Hook = endpoint.Early
		if g.shard.HandlePacket(a.at, p) != endpoint.Accept {
			g.w.fail("a server's packet was taken before connection tracking")
		}
		p.Hook = endpoint.Late
	}
	verdict = g.shard.HandlePacket(a.at, p)
	if buf != nil {
		buf.Release()
	}
	if verdict == endpoint.Accept {
		g.towards[a.from.Other()].send(a.p)
	}
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
