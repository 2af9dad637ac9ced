package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func (p *playbook) wantFaults(want ...string) {
	p.t.Helper()
	var got []string
	for _, e := range p.watch.faults {
		got = append(got, e.Text)
	}
	if len(got) != len(want) {
		p.t.Fatalf("faults that fired: %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			p.t.Errorf("fault %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestTheFirstSYNIsLost(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Lose, Which: rules.Which{First: 2}})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		+1
		client > S 0:0(0) <mss 1400>
		quiet
		+2
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0) <mss 1400>
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		client > P. 1:11(10) ack 1
		server < P. 1:11(10) ack 1
	`)
	p.wantFaults("client in syn drop first 2", "client in syn drop first 2")
	p.shard.Shutdown(p.dev.now)
	if got := p.watch.closed[0].Fired; len(got) != 1 || got[0] != (Fired{Text: "client in syn drop first 2", Count: 2}) {
		t.Errorf("the summary says of faults %+v", got)
	}
	e := p.watch.faults[0]
	if !e.HasSegment || e.Flags != endpoint.SYN || e.Seq != e.IRS || e.Do != rules.Lose || e.Rule != "late" || e.Conn != 1 {
		t.Errorf("the event is %+v", e)
	}
}

func TestALateSYNIsAnsweredLate(t *testing.T) {
	for _, order := range []rules.Order{rules.ServerFirst, rules.ClientFirst} {
		p := newPlaybook(t, Options{Order: order,
			Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, By: 300 * time.Millisecond})})
		p.play(`
			client > S 0:0(0) <mss 1400>
			+0.299
			quiet
			+0.003
		`)
		if order == rules.ServerFirst {
			p.play(`server < S 0:0(0) <mss 1400>`)
		} else {
			p.play(`client < S. 0:0(0) ack 1`)
		}
		p.play(`quiet`)
		if got := p.shard.Connections(p.dev.now, nil, -1); len(got) != 1 {
			t.Fatalf("%d connections", len(got))
		}
	}
}

// A client that gives up, or starts anew, while its SYN is kept.
func TestASYNThatNeverComesThrough(t *testing.T) {
	lost := rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Lose, Which: rules.Which{Nth: 1}}
	p := newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		client > R 1:1(0)
		quiet
	`)
	p.wantOver("client", ByReset, endpoint.Listen, endpoint.Closed)
	p = newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		+140
		quiet
	`)
	p.wantOver("client", ByTimeout, endpoint.Listen, endpoint.Closed)
	p = newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		client > S 5000:5000(0)
		client > S 5000:5000(0)
		server < S 0:0(0)
	`)
	if n := len(p.watch.closed); n != 1 {
		t.Errorf("%d connections were reported, want the one that was given up", n)
	}
}

func TestLostDataIsSentAgain(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 2}})})
	p.play(handshake + `
		client > P. 1:3001(3000) ack 1
		client < . 1:1(0) ack 3001
		server < . 1:1301(1300) ack 1
		server < P. 2601:3001(400) ack 1
		server > . 1:1(0) ack 1301
		+2
		# a tail loss probe, then what was lost
		server < P. 1701:3001(1300) ack 1
		server < . 1301:1701(400) ack 1
	`)
}
