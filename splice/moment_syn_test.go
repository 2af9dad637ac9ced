package splice

import (
	"testing"

	"tcpmitm/rules"
)

func TestTheFirstTwoTriesFail(t *testing.T) {
	f := rules.Fault{On: rules.SYN, Do: rules.Refuse, Which: rules.Which{First: 2}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < R. 0:0(0) ack 1
		client > S 1000:1000(0) <mss 1400>
		client < R. 0:0(0) ack 1001
		quiet
		client > S 2000:2000(0) <mss 1400>
		server < S 0:0(0)
	`)
	p.wantFired("client syn refuse first 2", "client syn refuse first 2")
	if c := p.watch.closed; len(c) != 2 || c[0].How != ByRule || c[0].Fault != "client syn refuse first 2" || c[0].Conn != p.watch.faults[0].Conn {
		t.Errorf("reported %+v", c)
	}
}

func TestIgnoredSYNsAreSentAgain(t *testing.T) {
	f := rules.Fault{On: rules.SYN, Do: rules.Ignore, Which: rules.Which{First: 2}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(`
		client > S 0:0(0) <mss 1400>
		+1
		client > S 0:0(0) <mss 1400>
		+2
		quiet
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	p.wantFired("client syn ignore first 2", "client syn ignore first 2")
	if n := loadRules(p.shard.opt.Rules).Rules()[0].Taken(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	id := p.shard.live.first.id
	for i, e := range p.watch.faults {
		if id == 0 || e.Conn != id {
			t.Errorf("fault %d is of connection %d, want %d", i, e.Conn, id)
		}
	}
}
