package splice

import (
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func ruled(a rules.Action) Options {
	return Options{Rules: withRules(&rules.Rule{Name: "r", Match: rules.Match{Probability: 1}, Action: a})}
}

func TestARulePasses(t *testing.T) {
	p := newPlaybook(t, ruled(rules.Pass))
	p.play(`
		client > S 0:0(0) <mss 1400>
		quiet
		client > . 1:1(0) ack 1
		quiet
	`)
	if len(p.dev.packets[endpoint.Server]) != 1 || p.dev.verdicts[0] != endpoint.Take || p.dev.verdicts[1] != endpoint.Accept {
		t.Errorf("packets %q, verdicts %v", p.dev.packets, p.dev.verdicts)
	}
	p.wantEmpty()
}

func TestARuleResets(t *testing.T) {
	p := newPlaybook(t, ruled(rules.Reset))
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < R. 0:0(0) ack 1
		quiet
	`)
	p.wantOver("tcpmitm", ByRule, endpoint.Listen, endpoint.Closed)
}

func TestARuleDrops(t *testing.T) {
	p := newPlaybook(t, ruled(rules.Drop))
	p.play(`
		client > S 0:0(0) <mss 1400>
		+1
		client > S 0:0(0) <mss 1400>
		quiet
	`)
	if p.dev.verdicts[0] != endpoint.Take {
		t.Error("the SYN went on")
	}
	// The second SYN is the same connection: it is reported once.
	p.wantOver("tcpmitm", ByRule, endpoint.Listen, endpoint.Closed)
}

// TestASYNSentAgainMeetsTheSameDecision: every second connection is dropped,
// and a connection that is dropped stays so.
func TestASYNSentAgainMeetsTheSameDecision(t *testing.T) {
	p := newPlaybook(t, Options{Rules: withRules(&rules.Rule{
		Name: "r", Match: rules.Match{Probability: 1, Every: 2}, Action: rules.Drop,
	})})
	p.play(handshake + goodbye)
	p.legs[0].isn += 5000
	for range 5 {
		p.play(`
			client > S 0:0(0) <mss 1400>
			quiet
			+7
		`)
	}
	if n := p.shard.Counters().Dropped; n != 5 {
		t.Errorf("%d of 5 SYNs dropped", n)
	}
}

func TestDecisionsAreForgottenAndBounded(t *testing.T) {
	var m decisions
	now := endpoint.Time(1e12)
	for i := range 5 * maxDecisions {
		m.remember(now, decisionKey{isn: endpoint.Seq(i)}, decision{action: rules.Drop})
		if len(m.young)+len(m.old) > 2*maxDecisions {
			t.Fatal("more decisions than bounded")
		}
	}
	last := decisionKey{isn: 5*maxDecisions - 1}
	if _, ok := m.find(last); !ok {
		t.Error("the last decision is forgotten")
	}
	m.age(now.Add(decisionLife/2 + 1))
	if _, ok := m.find(last); !ok {
		t.Error("a decision is forgotten after half of its life")
	}
	m.age(now.Add(decisionLife + 2))
	if _, ok := m.find(last); ok {
		t.Error("a decision outlives its life")
	}
}

func TestTheLimitOfConnections(t *testing.T) {
	for _, over := range []rules.Action{rules.Splice, rules.Pass, rules.Reset, rules.Drop} {
		p := newPlaybook(t, Options{Budget: &Budget{Connections: 1}, OverLimit: over})
		p.play(handshake)
		first := p.clientA
		p.clientA = addrPort("10.1.0.1:40001")
		p.legs[0].isn += 77
		p.play(`client > S 0:0(0) <mss 1400>`)
		switch over {
		case rules.Reset:
			p.play(`client < R. 0:0(0) ack 1`)
		case rules.Drop:
		default:
			if len(p.dev.packets[endpoint.Server]) != 1 {
				t.Error("the SYN did not pass")
			}
		}
		p.play(`quiet`)
		if n := p.shard.Counters().Reasons[endpoint.ReasonOverLimit]; n != 1 {
			t.Errorf("%d SYNs counted as over the limit", n)
		}
		// A connection that lingers holds no place.
		p.clientA = first
		p.legs[0].isn -= 77
		iss := p.legs[0].iss
		p.play(goodbye)
		p.legs[0].iss = iss
		if n, _ := p.shard.budget.InUse(); n != 0 {
			t.Errorf("%d places held by a connection in TIME-WAIT", n)
		}
		p.clientA = addrPort("10.1.0.1:40002")
		p.play(handshake)
	}
}

func TestMemoryIsALimitToo(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(1000)
	p := newPlaybook(t, Options{Endpoint: cfg, OverLimit: rules.Reset})
	b := cfg.Pool.Get(1000)
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < R. 0:0(0) ack 1
		quiet
	`)
	b.Release()
	p.legs[0].isn++
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
}

func TestTheHalfOpenLimitWithoutCookies(t *testing.T) {
	p := newPlaybook(t, Options{Budget: &Budget{HalfOpen: 1}, Cookies: CookiesNever, OverLimit: rules.Drop})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	first := p.legs
	p.clientA = addrPort("10.1.0.1:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		quiet
	`)
	second := p.clientA
	p.clientA, p.legs = addrPort("10.1.0.1:40000"), first
	p.play(`
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
	`)
	// There is room again: the same SYN is taken now.
	p.clientA = second
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
}

func TestDrainPassesNewConnections(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	p.shard.Drain()
	old := p.clientA
	p.clientA = addrPort("10.1.0.1:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		quiet
	`)
	if p.shard.Counters().Passed != 1 {
		t.Error("the SYN did not pass")
	}
	p.clientA = old
	p.play(goodbye)
}
