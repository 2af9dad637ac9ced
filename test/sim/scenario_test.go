package sim

import (
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
	portCalling = 83 // opens simultaneously
	portAway    = 84 // a router says that it cannot be reached
)

// patience is how long after the faults have stopped everything must have
// ended: an application's patience, R2, that of the other one, and time to
// spare.
const patience = 4 * time.Hour

// scenario is one run: a world, its hosts, and what they are going to do.
type scenario struct {
	*world
	gw             *gateway
	client, server *host
	links          []*link
	pairs          []*pair
	began          map[caller]*pair
	ipv6           bool
	longPatience   bool // nobody gives up before the weather is fine
	stormy         bool // links lose
	limited        bool // there may be no room for a connection
	rules          []*rules.Rule
	shutdown       bool // the gateway stops in the middle,
	drain          bool // or takes no new connections,
	reload         bool // or gets other rules
}

// caller tells a client's connection from all others: its port and its
// initial sequence number.
type caller struct {
	port uint16
	iss  endpoint.Seq
}

// pair is one connection's two plans.
type pair struct {
	client, server *plan
	port           uint16
	target         uint16
	at             time.Duration
	follows        bool // comes at once after the one before
	overlapped     bool // its port had been used before
}

func newScenario(w *world) *scenario {
	s := &scenario{world: w, began: map[caller]*pair{}}
	s.drawGateway()
	s.drawHosts()
	s.drawLinks()
	s.drawConnections()
	s.drawAttacker()
	w.check = s.gw.checkBounds
	return s
}

// connect starts a connection; a port that is busy is replaced by another.
func (s *scenario) connect(p *pair) {
	t := s.tuple(p.port, p.target)
	for s.client.busy(t.Reverse()) {
		p.port += 100
		t = s.tuple(p.port, p.target)
	}
	for _, q := range s.pairs {
		p.overlapped = p.overlapped || q != p && q.port == p.port && q.client.result.started
	}
	s.say("%s connects from port %d to %d: %+v; %s: %+v", p.client.name, p.port, p.target, *p.client, p.server.name, *p.server)
	c := s.client.connect(t.Source(), t.Destination(), p.client)
	s.began[caller{p.port, c.referee.iss}] = p
}

// heal ends all faults of the links. A path that has become narrow stays so.
func (s *scenario) heal() {
	s.say("all faults heal")
	for _, l := range s.links {
		l.weather = weather{}
	}
	s.gw.stall, s.gw.misqueue = 0, 0
}

// drawEvents plans what happens to the gateway as a whole.
func (s *scenario) drawEvents() {
	d := s.stream("events")
	at := d.between(0, 40*time.Second)
	switch {
	case s.shutdown:
		s.after(at, s.stop)
	case s.drain:
		s.after(at, func() {
			for _, e := range s.gw.engines {
				e.shard.Drain()
			}
		})
	case s.reload:
		s.after(at, func() {
			more := s.drawRules("other rules")
			s.rules = append(s.rules, more...)
			s.gw.set.Store(rules.New(more))
		})
	}
}

func (s *scenario) stop() {
	s.gw.stopped = true
	for _, e := range s.gw.engines {
		e.shard.Shutdown(s.now)
		e.turn()
	}
}

// play runs the scenario and returns what its trace hashes to.
func (s *scenario) play() uint64 {
	s.drawEvents()
	s.run(s.now.Add(s.stream("weather's end").between(20*time.Second, 100*time.Second)))
	s.heal()
	s.run(s.now.Add(patience))
	if len(s.bad) == 0 {
		s.wantEnd()
	}
	return s.trace
}

// wantEnd checks what must hold when everything is over.
func (s *scenario) wantEnd() {
	var c splice.Counters
	for i, e := range s.gw.engines {
		n := e.shard.Counters()
		c.Add(&n)
		if n.Flows+n.HalfOpen+n.Lingering+n.Timers+n.InWire != 0 || e.pool.InUse() != 0 {
			s.fail("shard %d is left with %d flows, %d half-open, %d lingering, %d timers, %d held segments and %d octets: %+v",
				i, n.Flows, n.HalfOpen, n.Lingering, n.Timers, n.InWire, e.pool.InUse(), e.shard.Connections(s.now, nil, -1))
		}
	}
	if n, h := s.gw.opt.Budget.InUse(); n != 0 || h != 0 {
		s.fail("the budget counts %d connections and %d half-open", n, h)
	}
	reported := uint64(0)
	for i := range s.gw.closed {
		if c := &s.gw.closed[i]; c.How != splice.ByRule || c.Rule != "action" {
			reported++
		}
	}
	if c.Opened != c.Closed || c.Closed != reported {
		s.fail("%d connections opened, %d closed and %d reported", c.Opened, c.Closed, reported)
	}
	for _, h := range []*host{s.client, s.server} {
		if len(h.conns) != 0 || h.pool.InUse() != 0 {
			s.fail("the %s is left with %d connections and %d octets", h.name, len(h.conns), h.pool.InUse())
			for _, c := range h.conns {
				s.say("%v %+v %+v", c.out, c.ep.Info(), c.app.plan)
			}
		}
	}
	for i, p := range s.pairs {
		s.wantComplete(i, p)
	}
}

// calm tells whether nothing was done to a connection that TCP does not mend.
func (s *scenario) calm(p *pair) bool {
	if !s.longPatience || s.gw.stopped || p.client.ending >= closeUnread || p.server.ending >= closeUnread ||
		p.target != portOpen && p.target != portCalling {
		return false
	}
	for _, r := range s.rules {
		if r.Action != rules.Splice && r.Action != rules.Pass || r.Name == momentsRule {
			return false
		}
	}
	if p.overlapped || p.follows {
		// Whoever comes to a tuple on which an old connection is not over may
		// be refused or fall silent; the octets were checked on the way.
		return false
	}
	b := s.gw.opt.Budget
	if s.limited && s.gw.opt.OverLimit != rules.Pass || b.HalfOpen > 0 && s.gw.opt.Cookies == splice.CookiesNever {
		return false // the house may have been full
	}
	if s.limited && s.cookies() > 0 && !p.server.result.started {
		return false // the place was gone when the cookie came back
	}
	if b.HalfOpen > 0 && !p.server.result.started {
		// Handshakes with somebody silent have all the places, and a cookie
		// does not wait for ever.
		return false
	}
	if s.cookies() > 0 && !p.server.result.started && p.client.octets == 0 {
		// The weakness of all SYN cookies: the client's ACK was lost, and the
		// client, who believes to be connected, waits for the server to begin.
		return false
	}
	return true
}

// hasty tells that somebody's TIME-WAIT is shorter than the weather is bad.
func (s *scenario) hasty() bool {
	return min(s.client.cfg.MSL, s.server.cfg.MSL, s.gw.opt.Endpoint.MSL) < 30*time.Second
}

func (s *scenario) cookies() (n uint64) {
	for _, e := range s.gw.engines {
		n += e.shard.Counters().CookiesSent
	}
	return n
}

// wantComplete demands that a connection to which nothing bad was done has
// carried everything both ways.
func (s *scenario) wantComplete(i int, p *pair) {
	c, v := &p.client.result, &p.server.result
	if !s.calm(p) {
		return
	}
	if s.hasty() {
		// Somebody's TIME-WAIT was over before its last ACK got through: what
		// comes again then is answered with a RST.
		return
	}
	if c.got == p.server.octets && v.got == p.client.octets && c.gotFIN && v.gotFIN && s.stormy {
		// With losses and a backed-off RTO a last FIN may come again after
		// the other's TIME-WAIT.
		return
	}
	if c.got != p.server.octets || v.got != p.client.octets || !c.gotFIN || !v.gotFIN || c.reset || v.reset {
		s.fail("connection %d is not complete: client %+v of %d, server %+v of %d", i, *c, p.server.octets, *v, p.client.octets)
	}
}
