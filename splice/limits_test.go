package splice

import (
	"fmt"
	"net/netip"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// limitCase is a limit that one connection uses up.
type limitCase struct {
	name   string
	budget func() *Budget // nil is no limit
	pool   int64          // octets; 0 is no limit
	cookie CookieMode
	half   bool // a handshake in progress uses it up, not an open connection
	reason endpoint.Reason
	other  bool // another source has room
}

var limitCases = []limitCase{
	{name: "connections", budget: func() *Budget { return &Budget{Connections: 1} }, reason: endpoint.ReasonOverLimit},
	{name: "memory", pool: flowOctets, reason: endpoint.ReasonOverMemory},
	{name: "per-source", budget: func() *Budget { return &Budget{PerSource: 1} }, reason: endpoint.ReasonOverSource, other: true},
	{name: "half-open", budget: func() *Budget { return &Budget{HalfOpen: 1} }, cookie: CookiesNever, half: true, reason: endpoint.ReasonOverHalfOpen},
	{name: "half-open-per-source", budget: func() *Budget { return &Budget{HalfOpenPerSource: 1} }, cookie: CookiesNever, half: true,
		reason: endpoint.ReasonOverHalfOpenSource, other: true},
}

// TestEachLimitWithEachPolicy: at a limit its policy acts and it is counted by
// its reason, the old connection goes on, and once that is over there is room.
func TestEachLimitWithEachPolicy(t *testing.T) {
	for _, c := range limitCases {
		for _, over := range []rules.Action{rules.Pass, rules.Reset, rules.Drop} {
			for _, six := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/ipv6=%t", c.name, over, six), func(t *testing.T) { c.run(t, over, six) })
			}
		}
	}
}

func (c *limitCase) run(t *testing.T, over rules.Action, six bool) {
	budget := &Budget{}
	if c.budget != nil {
		budget = c.budget()
	}
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer = 65535
	cfg.Pool = endpoint.NewPool(c.pool)
	p := newPlaybook(t, Options{Budget: budget, Endpoint: cfg, Cookies: c.cookie, OverLimit: over})
	near, far := "10.1.0.1:40001", "10.1.0.2:40000"
	if six {
		p.clientA, p.serverA = addrPort("[fd01::1]:40000"), addrPort("[fd02::2]:80")
		p.target = p.serverA
		near, far = "[fd01::2]:40000", "[fd01:0:0:1::1]:40000" // the same /64, and another
	}
	first, secondOpen := handshake, "client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)"
	if c.half {
		first = secondOpen
	}
	p.play(first)
	client, old := p.clientA, p.legs
	p.clientA = addrPort(near)
	p.legs[0].isn += 77
	p.play("client > S 0:0(0) <mss 1400>")
	switch over {
	case rules.Reset:
		p.play("client < R. 0:0(0) ack 1")
	case rules.Pass:
		if len(p.dev.packets[endpoint.Server]) != 1 {
			t.Error("the SYN did not pass")
		}
	}
	p.play("quiet")
	for why, n := range p.shard.Counters().Reasons {
		if want := endpoint.Reason(why) == c.reason; (n == 1) != want || n > 1 {
			t.Errorf("%d SYNs counted as %v", n, endpoint.Reason(why))
		}
	}
	if c.other {
		other := p.legs
		p.clientA = addrPort(far)
		p.play(secondOpen)
		p.play("client > R 0:0(0)")
		p.legs = other
		clear(p.dev.out[:])
	}
	// The old connection goes on, and makes room when it is over.
	p.clientA, p.legs = client, old
	if c.half {
		p.play(`
			server > S. 0:0(0) ack 1
			server < . 1:1(0) ack 1
			client < S. 0:0(0) ack 1
			client > . 1:1(0) ack 1
		`)
	}
	p.play(`
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > P. 1:51(50) ack 101
		client < P. 1:51(50) ack 101
		client > . 101:101(0) ack 51
	`)
	if !c.half {
		p.play(`
			client > R 101:101(0)
			server < R. 101:101(0) ack 51
			+11
		`)
	}
	clear(p.dev.out[:])
	p.clientA = netip.AddrPortFrom(p.clientA.Addr(), 40002)
	p.legs[0].isn += 77
	p.play(secondOpen)
}

// TestASourceWithManyHandshakesGetsCookies: it, and nobody else, is answered
// first, so that its flood costs the others nothing.
func TestASourceWithManyHandshakesGetsCookies(t *testing.T) {
	p := newPlaybook(t, Options{Budget: &Budget{HalfOpenPerSource: 1}})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		quiet
	`)
	p.clientA = addrPort("10.1.0.1:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < S. 0:0(0) ack 1 <mss 1460>
		quiet
	`)
	p.clientA = addrPort("10.1.0.2:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		quiet
	`)
}

// TestNoHandshakesBeyondTheLimitWhereNoCookieHelps: a rule that does something
// to the SYN-ACK needs a state, and a flood of its connections meets the limit.
func TestNoHandshakesBeyondTheLimitWhereNoCookieHelps(t *testing.T) {
	opt := Options{Budget: &Budget{HalfOpen: 1}, OverLimit: rules.Drop, Rules: withRules(&rules.Rule{
		Name: "late", Match: rules.Match{Probability: 1},
		Faults: []rules.Fault{{Leg: rules.Client, On: rules.SYNACK, Do: rules.Delay, By: 1e9}},
	})}
	p := newPlaybook(t, opt)
	for i := range 5 {
		p.clientA = netip.AddrPortFrom(p.clientA.Addr(), uint16(50000+i))
		p.play("client > S 0:0(0) <mss 1400>")
	}
	if c := p.shard.Counters(); c.Flows != 1 || c.Reasons[endpoint.ReasonOverHalfOpen] != 4 || c.CookiesSent != 0 {
		t.Errorf("%d flows, %d over the limit, %d cookies; want 1, 4 and none", c.Flows, c.Reasons[endpoint.ReasonOverHalfOpen], c.CookiesSent)
	}
}

// TestMemoryIsGivenBack: what is charged beside buffers is nothing in the end.
func TestMemoryIsGivenBack(t *testing.T) {
	p := newPlaybook(t, Options{})
	pool := p.shard.opt.Endpoint.Pool
	p.play(handshake)
	if n := pool.Charged(); n != flowOctets {
		t.Errorf("an open connection is charged with %d octets, want %d", n, flowOctets)
	}
	p.play(goodbye)
	if n := pool.Charged(); n != waitingOctets {
		t.Errorf("a connection in TIME-WAIT is charged with %d octets, want %d", n, waitingOctets)
	}
	p.wantEmpty()
	if n := pool.Charged(); n != 0 {
		t.Errorf("%d octets are charged for nothing", n)
	}
}
