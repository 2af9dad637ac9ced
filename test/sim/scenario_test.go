package sim

import (
	"net/netip"
	"sync/atomic"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// Ports of the server.
const (
	portOpen    = 80
	portRefused = 81
	portSilent  = 82
)

// patience is how long after the faults have stopped everything must have
// ended: R2, an application's patience, the patience of the other one, and
// time to spare.
const patience = 2 * time.Hour

// scenario is one run: a world, its hosts, and what they are going to do.
type scenario struct {
	*world
	gw             *gateway
	client, server *host
	links          []*link
	pairs          []*pair
	current        map[endpoint.Tuple]*pair // the last connection on each tuple
	shutdown       bool
	longPatience   bool // nobody gives up before the weather is fine
	rules          []*rules.Rule
	opt            splice.Options
}

// pair is one connection's two plans.
type pair struct {
	client, server *plan
	port           uint16
	target         uint16
	at             time.Duration
	overlapped     bool // its port had been used before
}

func newScenario(w *world) *scenario {
	s := &scenario{world: w, current: map[endpoint.Tuple]*pair{}}
	s.drawGateway()
	s.drawHosts()
	s.drawLinks()
	s.drawConnections()
	return s
}

func (s *scenario) drawGateway() {
	w := s.world
	g := &gateway{w: w, pool: endpoint.NewPool(0), bothHooks: w.chance(0.2)}
	cfg := endpoint.DefaultConfig()
	cfg.Pool = g.pool
	cfg.ReceiveBuffer = pick(w, 1<<12, 1<<14, 1<<16, 1<<18, 4<<20)
	cfg.SendBuffer = pick(w, 1<<12, 1<<14, 1<<16, 1<<18, 4<<20)
	s.longPatience = w.chance(0.7)
	cfg.R2 = s.drawR2()
	if w.chance(0.7) {
		cfg.KeepAlive = endpoint.KeepAlive{Idle: pick(w, time.Minute, 10*time.Minute, time.Hour), Interval: 75 * time.Second, Count: 5}
	}
	var set atomic.Pointer[rules.Set]
	s.rules = s.drawRules()
	set.Store(rules.New(s.rules))
	s.opt = splice.Options{
		Rules:    &set,
		Order:    pick(w, rules.ServerFirst, rules.ServerFirst, rules.ClientFirst),
		Cookies:  pick(w, splice.CookiesAuto, splice.CookiesAuto, splice.CookiesAlways, splice.CookiesNever),
		Budget:   &splice.Budget{HalfOpen: pick[int64](w, 0, 0, 1, 2)},
		Endpoint: cfg,
		Epoch:    time.Unix(1e9, 0),
		Observer: g,
	}
	for i := range s.opt.Secret {
		s.opt.Secret[i] = byte(w.rng.Uint32())
	}
	g.shard = splice.NewShard(g, s.opt)
	s.gw = g
	s.shutdown = w.chance(0.05)
}

// drawR2 draws how long an endpoint waits for an acknowledgement. With the
// short value it may give up while the weather is bad.
func (s *scenario) drawR2() time.Duration {
	if s.longPatience {
		return 15 * time.Minute
	}
	return pick(s.world, 100*time.Second, 15*time.Minute)
}

// drawRules makes a rule with faults, and sometimes one with an action.
func (s *scenario) drawRules() []*rules.Rule {
	w := s.world
	var list []*rules.Rule
	if w.chance(0.15) {
		list = append(list, &rules.Rule{
			Name:   "action",
			Match:  rules.Match{Probability: 0.3},
			Seed:   w.rng.Uint64(),
			Action: pick(w, rules.Pass, rules.Reset, rules.Drop),
		})
	}
	if w.chance(0.4) {
		r := &rules.Rule{Name: "faults", Match: rules.Match{Probability: 0.5}, Seed: w.rng.Uint64()}
		for range 1 + w.rng.IntN(3) {
			r.Faults = append(r.Faults, rules.Fault{
				Leg: pick(w, rules.Client, rules.Server),
				In:  w.chance(0.5),
				On:  pick(w, rules.SYNACK, rules.ACK, rules.FIN),
				By:  w.between(time.Millisecond, 3*time.Second),
			})
		}
		list = append(list, r)
	}
	return list
}

func (s *scenario) drawHosts() {
	draw := func(name string) *host {
		w := s.world
		h := &host{w: w, name: name, pool: endpoint.NewPool(0), dead: map[endpoint.Tuple]bool{}}
		h.cfg = endpoint.DefaultConfig()
		h.cfg.Pool = h.pool
		h.cfg.ReceiveBuffer = pick(w, 3000, 1<<14, 1<<16, 1<<20)
		h.cfg.SendBuffer = pick(w, 1<<12, 1<<16, 1<<20)
		h.cfg.R2 = s.drawR2()
		h.cfg.AckDelay = pick(w, 0, 40*time.Millisecond, 200*time.Millisecond)
		h.cfg.Nagle = w.chance(0.2)
		h.open = endpoint.Open{
			MSS:         pick(w, 536, 1000, 1460, 8960),
			MTU:         pick(w, 1500, 9000),
			WindowScale: pick(w, -1, 0, 3, 7, 14),
			SACK:        w.chance(0.7),
			Timestamps:  w.chance(0.6),
			TSOffset:    w.rng.Uint32(),
		}
		return h
	}
	s.client, s.server = draw("client"), draw("server")
	s.client.open.IPv6 = s.chance(0.3)
	s.server.open.IPv6 = s.client.open.IPv6
	s.server.silent = func(port uint16) bool { return port == portSilent }
	s.server.listen = func(in endpoint.Tuple) *plan {
		if in.DstPort != portOpen {
			return nil
		}
		if p := s.current[in]; p != nil && !p.server.result.started {
			return p.server
		}
		return nil
	}
}

func (s *scenario) drawLinks() {
	w := s.world
	bad := weather{}
	if w.chance(0.7) {
		bad.loss = pick(w, 0, 0.01, 0.05, 0.2)
		bad.duplicate = pick(w, 0, 0.02, 0.1)
		bad.reorder = pick(w, 0, 0.02, 0.2)
	}
	makeLink := func(deliver func(packet)) *link {
		l := &link{w: w, delay: w.between(10*time.Microsecond, 50*time.Millisecond), merge: w.chance(0.5), deliver: deliver}
		if w.chance(0.7) {
			l.weather = bad
			l.weather.jitter = pick(w, 0, time.Millisecond, 20*time.Millisecond)
		}
		s.links = append(s.links, l)
		return l
	}
	s.client.out = makeLink(func(p packet) { s.gw.receive(endpoint.Client, p) })
	s.server.out = makeLink(func(p packet) { s.gw.receive(endpoint.Server, p) })
	s.gw.towards[endpoint.Client] = makeLink(s.client.receive)
	s.gw.towards[endpoint.Server] = makeLink(s.server.receive)
}

func (s *scenario) drawConnections() {
	w := s.world
	for i := range 1 + w.rng.IntN(6) {
		p := &pair{
			client: s.drawPlan("client", byte(i*2+1)),
			server: s.drawPlan("server", byte(i*2+2)),
			port:   uint16(40000 + w.rng.IntN(3)),
			target: pick[uint16](w, portOpen, portOpen, portOpen, portOpen, portOpen, portOpen, portOpen, portRefused, portSilent),
			at:     w.between(0, 30*time.Second),
		}
		if i > 0 && w.chance(0.3) {
			p.at = s.pairs[i-1].at + w.between(0, 90*time.Second)
		}
		if p.client.ending == closeAfterPeer && p.server.ending == closeAfterPeer {
			p.client.ending = closeWhenSent
		}
		if p.client.ending == vanishMidway && p.server.ending == vanishMidway && s.opt.Endpoint.KeepAlive.Idle == 0 {
			// Only keep-alives can find out that both are gone.
			p.server.ending = closeWhenSent
		}
		p.client.partner, p.server.partner = p.server, p.client
		s.pairs = append(s.pairs, p)
		w.after(p.at, func() { s.connect(p) })
	}
}

func (s *scenario) drawPlan(name string, stream byte) *plan {
	w := s.world
	p := &plan{
		name:   name,
		stream: stream,
		octets: pick(w, 0, 1, 100, 5000, 60000, 300000),
		ending: closeWhenSent,
		write:  pick(w, 10, 1000, 16384, 1<<20),
	}
	if p.octets > 20000 {
		p.write = max(p.write, 1000)
	}
	switch {
	case w.chance(0.3):
		p.ending = closeAfterPeer
	case w.chance(0.1):
		p.ending = abortMidway
	case w.chance(0.07):
		p.ending = vanishMidway
	}
	if w.chance(0.3) {
		p.pause = w.between(0, 5*time.Second)
	}
	if w.chance(0.3) {
		p.every = w.between(0, 20*time.Millisecond)
	}
	if w.chance(0.3) {
		p.read, p.rest = pick(w, 500, 5000, 50000), w.between(time.Millisecond, 200*time.Millisecond)
		if p.read == 500 {
			p.rest /= 10
		}
	}
	return p
}

// connect starts a connection; a port that is busy is replaced by another.
func (s *scenario) connect(p *pair) {
	from := netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), p.port)
	to := netip.AddrPortFrom(netip.MustParseAddr("10.2.0.2"), p.target)
	if s.client.open.IPv6 {
		from = netip.AddrPortFrom(netip.MustParseAddr("fd00:1::1"), p.port)
		to = netip.AddrPortFrom(netip.MustParseAddr("fd00:2::2"), p.target)
	}
	for s.client.busy(endpoint.NewTuple(to, from)) {
		p.port += 100
		from = netip.AddrPortFrom(from.Addr(), p.port)
	}
	for _, q := range s.pairs {
		p.overlapped = p.overlapped || q != p && q.port == p.port && q.client.result.started
	}
	s.current[endpoint.NewTuple(from, to)] = p
	s.client.connect(from, to, p.client)
}

// heal ends all faults of the links.
func (s *scenario) heal() {
	for _, l := range s.links {
		l.weather = weather{}
	}
}

// play runs the scenario and returns what its trace hashes to.
func (s *scenario) play() uint64 {
	start := s.now
	if s.shutdown {
		s.after(s.between(0, 40*time.Second), func() {
			s.gw.stopped = true
			s.gw.shard.Shutdown(s.now)
			s.gw.turn()
		})
	}
	s.run(start.Add(s.between(20*time.Second, 100*time.Second)))
	s.heal()
	s.run(s.now.Add(patience))
	if len(s.bad) == 0 {
		s.wantEnd()
	}
	return s.trace.Sum64()
}

// wantEnd checks what must hold when everything is over.
func (s *scenario) wantEnd() {
	c := s.gw.shard.Counters()
	if c.Flows+c.HalfOpen+c.Lingering+c.Timers+c.InWire != 0 || c.PoolInUse != 0 {
		s.fail("the gateway is left with %d flows, %d half-open, %d lingering, %d timers, %d held segments and %d octets: %+v",
			c.Flows, c.HalfOpen, c.Lingering, c.Timers, c.InWire, c.PoolInUse, s.gw.shard.Connections(s.now, nil, -1))
	}
	if n, h := s.opt.Budget.InUse(); n != 0 || h != 0 {
		s.fail("the budget counts %d connections and %d half-open", n, h)
	}
	if c.Opened != c.Closed {
		s.fail("%d connections opened and %d closed", c.Opened, c.Closed)
	}
	for _, h := range []*host{s.client, s.server} {
		if len(h.conns) != 0 || h.pool.InUse() != 0 {
			s.fail("the %s is left with %d connections and %d octets", h.name, len(h.conns), h.pool.InUse())
		}
	}
	for i, p := range s.pairs {
		s.wantComplete(i, p)
	}
}

// wantComplete demands that a connection to which nothing bad was done has
// carried everything both ways.
func (s *scenario) wantComplete(i int, p *pair) {
	calm := s.longPatience && p.target == portOpen && !s.gw.stopped && p.client.ending < abortMidway && p.server.ending < abortMidway
	for _, r := range s.rules {
		calm = calm && (r.Action == rules.Splice || r.Action == rules.Pass)
	}
	c, v := &p.client.result, &p.server.result
	if !calm {
		return
	}
	if p.overlapped || s.opt.Budget.HalfOpen > 0 && s.opt.Cookies == splice.CookiesNever {
		// Whoever comes to a tuple on which an old connection is not over, or
		// to a full house, may be refused or fall silent; the octets were
		// checked on the way.
		return
	}
	if s.gw.shard.Counters().CookiesSent > 0 && !v.started && p.client.octets == 0 {
		// The weakness of all SYN cookies: the client's ACK was lost, and the
		// client, who believes to be connected, waits for the server to begin.
		return
	}
	if c.got != p.server.octets || v.got != p.client.octets || !c.gotFIN || !v.gotFIN || c.reset || v.reset {
		s.fail("connection %d is not complete: client %+v of %d, server %+v of %d", i, *c, p.server.octets, *v, p.client.octets)
	}
}
