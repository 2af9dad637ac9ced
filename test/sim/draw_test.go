package sim

import (
	"fmt"
	"net/netip"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// Each function here draws one concern of a scenario from a stream of its
// own. Who adds something draws it last, so that what the others of the same
// concern draw stays what it was.

func (s *scenario) drawGateway() {
	d := s.stream("gateway")
	g := &gateway{w: s.world, d: s.stream("gateway's moments"), referees: map[legOf]*referee{}}
	s.gw = g
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer = pick(d, 1<<12, 1<<14, 1<<16, 1<<18, 4<<20)
	cfg.SendBuffer = pick(d, 1<<12, 1<<14, 1<<16, 1<<18, 4<<20)
	s.longPatience = d.chance(0.7)
	s.drawPatience(d, &cfg)
	if d.chance(0.7) {
		cfg.KeepAlive = endpoint.KeepAlive{Idle: pick(d, time.Minute, 10*time.Minute, time.Hour), Interval: 75 * time.Second, Count: 5}
	}
	drawStyle(d, &cfg)
	g.bothHooks = d.chance(0.2)
	g.misqueue = pick(d, 0, 0, 0.1)
	g.stall = pick(d, 0, 0, 0.01)
	s.rules = s.drawRules("rules")
	g.set.Store(rules.New(s.rules))
	g.opt = splice.Options{
		Rules:     &g.set,
		Order:     pick(d, rules.ServerFirst, rules.ServerFirst, rules.ClientFirst),
		Cookies:   pick(d, splice.CookiesAuto, splice.CookiesAuto, splice.CookiesAlways, splice.CookiesNever),
		Budget:    &splice.Budget{HalfOpen: pick[int64](d, 0, 0, 1, 2), Connections: pick[int64](d, 0, 0, 0, 1, 2)},
		OverLimit: pick(d, rules.Pass, rules.Reset, rules.Drop),
		Endpoint:  cfg,
		Epoch:     time.Unix(1e9, 0),
		Observer:  g,
	}
	for i := range g.opt.Secret {
		g.opt.Secret[i] = byte(d.Uint32())
	}
	// With a short supply of memory connections go past us, or are told off.
	limit := pick[int64](d, 0, 0, 0, 64<<10, 1<<20)
	s.limited = g.opt.Budget.Connections > 0 || limit > 0
	n := pick(d, 1, 1, 1, 2, 3)
	s.shutdown = d.chance(0.05)
	s.drain = d.chance(0.05)
	s.reload = d.chance(0.1)
	if s.losesResets() && g.opt.Endpoint.KeepAlive.Idle == 0 {
		// A rule that loses a RST, which nobody sends again, leaves a
		// connection that only keep-alives find to be dead.
		g.opt.Endpoint.KeepAlive = endpoint.KeepAlive{Idle: 10 * time.Minute, Interval: 75 * time.Second, Count: 5}
	}
	var shards []*splice.Shard
	for i := range n {
		e := &engine{gateway: g, pool: endpoint.NewPool(limit)}
		opt := g.opt
		opt.Endpoint.Pool = e.pool
		opt.Index = i
		if n > 1 {
			opt.ShardOf = g.shardOf
		}
		e.shard = splice.NewShard(e, opt)
		g.engines = append(g.engines, e)
		shards = append(shards, e.shard)
	}
	splice.Connect(shards)
	// What an endpoint may hold: its buffers twice over, for a buffer may be
	// half empty, the holes that it keeps in buffers of their own, and the
	// slabs of one burst.
	g.bound = int64(2*2*(cfg.ReceiveBuffer+cfg.SendBuffer) + 2*1024*512 + 64*endpoint.SlabSize)
}

// losesResets tells that a rule may lose segments of all kinds.
func (s *scenario) losesResets() bool {
	for _, r := range s.rules {
		for _, f := range r.Faults {
			if f.On == rules.Any && f.Do != rules.Delay {
				return true
			}
		}
	}
	return s.reload
}

// drawPatience draws how long an endpoint waits for an acknowledgement. With
// the short value it may give up while the weather is bad; with the long one
// it never does.
func (s *scenario) drawPatience(d draws, cfg *endpoint.Config) {
	short := d.chance(0.5)
	if s.longPatience {
		cfg.R2 = 15 * time.Minute
		cfg.SYNRetries = 12
	} else if short {
		cfg.R2 = 100 * time.Second
	}
}

// drawStyle draws what differs between one good TCP and another.
func drawStyle(d draws, cfg *endpoint.Config) {
	cfg.AckDelay = pick(d, 0, time.Millisecond, 40*time.Millisecond, 200*time.Millisecond, 499*time.Millisecond)
	cfg.AckEvery = pick(d, 1, 2, 2, 2, 8)
	cfg.Nagle = d.chance(0.2)
	cfg.Congestion = pick(d, "cubic", "cubic", "newreno")
	cfg.InitialWindow = pick(d, 1, 2, 4, 10, 10, 30)
	cfg.MinRTO = pick(d, 200*time.Millisecond, 200*time.Millisecond, time.Second)
	cfg.InitialRTO = pick(d, time.Second, time.Second, 3*time.Second)
	cfg.MSL = 30 * time.Second
	if d.IntN(8) == 0 {
		cfg.MSL = time.Second // some do not take it seriously
	}
	cfg.Orphan = pick(d, 0, 0, time.Minute)
}

func (s *scenario) drawHosts() {
	s.ipv6 = s.stream("family").chance(0.3)
	draw := func(name string) *host {
		d := s.stream(name)
		h := &host{w: s.world, d: s.stream(name + "'s moments"), name: name, pool: endpoint.NewPool(0), dead: map[endpoint.Tuple]bool{}}
		h.cfg = endpoint.DefaultConfig()
		h.cfg.Pool = h.pool
		h.cfg.ReceiveBuffer = pick(d, 600, 3000, 1<<14, 1<<16, 1<<20)
		h.cfg.SendBuffer = pick(d, 1<<12, 1<<16, 1<<20)
		s.drawPatience(d, &h.cfg)
		drawStyle(d, &h.cfg)
		// The interface's MTU; all of IPv6 carries 1,280 octets (RFC 8200, 5).
		mtu, head := pick(d, 1500, 1500, 1500, 9000, 1400, 576, 256), 40
		if s.ipv6 {
			mtu, head = max(mtu, 1280), 60
		}
		h.open = endpoint.Open{
			MSS:         min(pick(d, mtu-head, mtu-head, 1000, 536, 100), mtu-head),
			MTU:         mtu,
			IPv6:        s.ipv6,
			WindowScale: pick(d, -1, 0, 3, 7, 14),
			SACK:        d.chance(0.7),
			Timestamps:  d.chance(0.6),
			TSOffset:    d.Uint32(),
			ECN:         d.chance(0.3),
		}
		if d.chance(0.05) {
			h.synCopies, h.synEvery = 1+d.IntN(4), d.between(time.Microsecond, 30*time.Millisecond)
		}
		return h
	}
	s.client, s.server = draw("client"), draw("server")
	s.server.silent = func(port uint16) bool { return port == portSilent }
	s.server.calling = func(port uint16) bool { return port == portCalling }
	s.server.listen = func(in endpoint.Tuple, isn endpoint.Seq) *plan {
		if in.DstPort != portOpen && in.DstPort != portCalling {
			return nil
		}
		if p := s.began[caller{in.SrcPort, s.gw.behind(in, isn)}]; p != nil && !p.server.result.started {
			return p.server
		}
		return nil
	}
}

func (s *scenario) drawLinks() {
	d := s.stream("links")
	bad := weather{}
	if d.chance(0.7) {
		bad.loss = pick(d, 0, 0.01, 0.05, 0.2)
		bad.duplicate = pick(d, 0, 0.02, 0.1)
		bad.reorder = pick(d, 0, 0.02, 0.2)
		bad.corrupt = pick(d, 0, 0, 0.01, 0.05)
		bad.straggle = pick(d, 0, 0, 0.003)
		bad.mark = pick(d, 0, 0.02)
	}
	makeLink := func(name string, mtu int, deliver, report func(packet)) *link {
		l := &link{w: s.world, d: s.stream(name + " weather"), mtu: mtu, deliver: deliver, report: report}
		l.delay = d.between(10*time.Microsecond, 50*time.Millisecond)
		l.merge = d.chance(0.5)
		if d.chance(0.7) {
			l.weather = bad
			l.weather.jitter = pick(d, 0, time.Millisecond, 20*time.Millisecond)
		}
		s.stormy = s.stormy || l.weather.loss+l.weather.corrupt > 0
		l.oldICMP = d.chance(0.1)
		if s.drawPath(d, l) {
			l.report = nil
		}
		s.links = append(s.links, l)
		return l
	}
	c, v := s.client.open.MTU, s.server.open.MTU
	fromClient := func(p packet) { s.gw.receive(endpoint.Client, p) }
	fromServer := func(p packet) { s.gw.receive(endpoint.Server, p) }
	s.client.out = makeLink("from client", c, fromClient, s.client.receive)
	s.server.out = makeLink("from server", v, fromServer, s.server.receive)
	s.gw.towards[endpoint.Client] = makeLink("to client", c, s.client.receive, fromClient)
	s.gw.towards[endpoint.Server] = makeLink("to server", v, s.server.receive, fromServer)
}

// drawPath draws when the path of a link takes less than before, and more
// again. It tells whether it does so without a word.
func (s *scenario) drawPath(d draws, l *link) (blackHole bool) {
	least := 576 // what every path carries, or else it fragments (RFC 1191, 3)
	if s.ipv6 {
		least = 1280
	}
	changes, hole := d.chance(0.15), d.chance(0.3)
	narrow, at, for_ := pick(d, 1400, 1280, 1000, 576), d.between(0, 40*time.Second), d.between(time.Second, 60*time.Second)
	ends := d.chance(0.5)
	if !changes {
		return false
	}
	wide := l.mtu
	s.after(at, func() { l.mtu = min(wide, max(least, narrow)); s.say("a path takes %d octets", l.mtu) })
	if ends || hole && !blackHolesLast {
		s.after(at+for_, func() { l.mtu = wide; s.say("a path takes %d octets again", l.mtu) })
	}
	return hole
}

// blackHolesLast tells that a path may swallow long packets for ever: then
// only RFC 4821 finds out.
const blackHolesLast = true

func (s *scenario) drawConnections() {
	d := s.stream("connections")
	n := 1 + d.IntN(6)
	if d.chance(0.02) {
		n = 30 // a crowd
	}
	for i := range n {
		p := &pair{
			client: s.drawPlan(i, "client"),
			server: s.drawPlan(i, "server"),
			port:   uint16(40000 + d.IntN(3)),
			target: pick[uint16](d, portOpen, portOpen, portOpen, portOpen, portOpen, portOpen, portOpen, portRefused, portSilent),
			at:     d.between(0, 30*time.Second),
		}
		if i > 0 && d.chance(0.3) {
			p.at = s.pairs[i-1].at + d.between(0, 90*time.Second)
		}
		simultaneous, when := d.chance(0.1), d.between(0, 20*time.Second)
		if simultaneous {
			p.client.closeAt, p.server.closeAt = s.now.Add(p.at+when), s.now.Add(p.at+when)
		}
		switch {
		case d.chance(0.05):
			p.target = portCalling
		case d.chance(0.05):
			p.target = portAway
		}
		atOnce := i > 0 && d.chance(0.15)
		s.settle(p, n)
		p.client.partner, p.server.partner = p.server, p.client
		s.pairs = append(s.pairs, p)
		if atOnce && s.pairs[i-1].client.again == nil {
			// As soon as the one before is over, its port is used again.
			p.port = s.pairs[i-1].port
			p.follows = true
			s.pairs[i-1].client.again = func() { s.connect(p) }
			continue
		}
		s.after(p.at, func() { s.connect(p) })
	}
}

// settle makes two plans fit each other.
func (s *scenario) settle(p *pair, n int) {
	if p.client.ending == closeAfterPeer && p.server.ending == closeAfterPeer {
		p.client.ending = closeWhenSent
	}
	if max(p.client.ending, p.server.ending) >= abortMidway && min(p.client.ending, p.server.ending) >= closeUnread && s.gw.opt.Endpoint.KeepAlive.Idle == 0 {
		// Only keep-alives can find out that both are gone: one without a word,
		// or with a RST that was lost, and the other one too, or as an orphan.
		p.client.ending, p.server.ending = min(p.client.ending, abortMidway-1), closeWhenSent
	}
	if n > 10 {
		p.client.octets, p.server.octets = min(p.client.octets, 5000), min(p.server.octets, 5000)
	}
}

func (s *scenario) drawPlan(i int, name string) *plan {
	d := s.stream(fmt.Sprint(name, " ", i))
	p := &plan{
		name:   fmt.Sprint(name, " ", i),
		stream: byte(i*2 + 1 + int(name[0]&1)),
		octets: pick(d, 0, 1, 100, 5000, 60000, 300000),
		ending: closeWhenSent,
		write:  pick(d, 10, 1000, 16384, 1<<20),
	}
	switch {
	case d.chance(0.3):
		p.ending = closeAfterPeer
	case d.chance(0.08):
		p.ending = abortMidway
	case d.chance(0.05):
		p.ending = vanishMidway
	case d.chance(0.05):
		p.ending = rebootMidway
	case d.chance(0.05):
		p.ending = closeUnread
	}
	if d.chance(0.3) {
		p.pause = d.between(0, 5*time.Second)
	}
	if d.chance(0.3) {
		p.every = d.between(0, 20*time.Millisecond)
	}
	if d.chance(0.3) {
		p.read, p.rest = pick(d, 500, 5000, 50000), d.between(time.Millisecond, 200*time.Millisecond)
		if p.read == 500 {
			p.rest /= 10
		}
	}
	if d.chance(0.1) && p.octets > 0 {
		p.lullAt, p.lull = 1+d.IntN(p.octets), d.between(0, 30*time.Minute)
	}
	if d.chance(0.1) {
		p.stopAt, p.stopFor = 1+d.IntN(20000), d.between(0, 10*time.Minute)
	}
	s.spareTiny(p)
	return p
}

// spareTiny keeps a run short: many octets are not carried one by one.
func (s *scenario) spareTiny(p *plan) {
	if p.octets > 20000 {
		p.write = max(p.write, 1000)
	}
	small := min(s.client.open.MSS, s.server.open.MSS) <= 256 || min(s.client.cfg.ReceiveBuffer, s.server.cfg.ReceiveBuffer) < 1000
	if small {
		p.octets = min(p.octets, 20000)
	}
}

// drawAttacker lets somebody who cannot see the connections, but guesses
// their addresses and ports, send what could harm them.
func (s *scenario) drawAttacker() {
	d := s.stream("attacker")
	if !d.chance(0.15) {
		return
	}
	for range 1 + d.IntN(60) {
		at := d.between(0, 100*time.Second)
		port := uint16(40000 + d.IntN(3))
		toServer := d.chance(0.5)
		// Everything but the sequence numbers is right.
		far := endpoint.Seq(1<<30 + d.Uint32N(1<<31))
		seg := endpoint.Segment{
			Flags:  pick(d, endpoint.RST, endpoint.RST|endpoint.ACK, endpoint.ACK, endpoint.ACK|endpoint.FIN, endpoint.ACK|endpoint.SYN),
			Window: uint16(d.Uint32()),
		}
		if d.chance(0.5) {
			seg.Payload = []byte("not what was sent")
		}
		s.after(at, func() { s.attack(port, toServer, far, seg) })
	}
}

func (s *scenario) attack(port uint16, toServer bool, far endpoint.Seq, seg endpoint.Segment) {
	t, leg, victim := s.tuple(port, portOpen), endpoint.Client, s.client
	if !toServer {
		t, leg, victim = t.Reverse(), endpoint.Server, s.server
	}
	seg.Seq, seg.Ack = far, -far
	if c := victim.find(t.Reverse()); c != nil {
		// Far from what the victim would send.
		i := c.ep.Info()
		seg.Seq, seg.Ack = i.SndNxt+far, i.RcvNxt-far
	}
	encode(t, &seg, false, func(p packet) { s.gw.receive(leg, p) })
}

// tuple is that of what the client sends.
func (s *scenario) tuple(port, target uint16) endpoint.Tuple {
	c, v := clientAddr4, serverAddr4
	if s.ipv6 {
		c, v = clientAddr6, serverAddr6
	}
	return endpoint.NewTuple(netip.AddrPortFrom(c, port), netip.AddrPortFrom(v, target))
}
