package splice

import (
	"net/netip"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// kill ends all connections of a playbook, and wants there to be one.
func (p *playbook) kill() {
	p.t.Helper()
	if list := p.shard.Kill(p.dev.now, nil, 10, ^uint64(0), nil); len(list) != 1 || list[0].Client != p.clientA || list[0].Server != p.serverA {
		p.t.Fatalf("killed %+v, want the one connection", list)
	}
	p.turn()
}

// Whatever a connection does, an operator ends it at once, with the sequence
// numbers that the peers expect.
func TestKillEndsAConnectionInAnyState(t *testing.T) {
	lose := rules.Fault{Leg: rules.Server, On: rules.RST, Do: rules.Lose}
	const asked = "client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)\n"
	for _, c := range []struct {
		name           string
		opt            Options
		before, after  string
		client, server string // termination codes
		who            string
		how            How
	}{
		{name: "idle for hours", before: handshake + exchange + "+36000\nquiet",
			after: "client < R. 51:51(0) ack 101\nserver < R. 101:101(0) ack 51\nquiet", client: "OD", server: "OD"},
		{name: "octets under way", before: handshake + "client > P. 1:101(100) ack 1\nserver < P. 1:101(100) ack 1",
			after: "client < R. 1:1(0) ack 101\nserver < R. 101:101(0) ack 1\nquiet\n+60\nquiet", client: "OD", server: "OE"},
		{name: "the peer's window is shut", before: handshake + "server > . 1:1(0) ack 1 win 0\nclient > P. 1:101(100) ack 1\n+0.1\nclient < . 1:1(0) ack 101",
			after: "client < R. 1:1(0) ack 101\nserver < R. 1:1(0) ack 1\nquiet\n+60\nquiet", client: "OD", server: "OE"},
		{name: "a SYN is held", before: asked,
			after: "client < R. 0:0(0) ack 1\nquiet\nserver > S. 0:0(0) ack 1\nserver < R 1:1(0)\nquiet", client: "OC", server: "OC"},
		{name: "a SYN is kept by a fault", opt: Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Delay, By: time.Minute})},
			before: "client > S 0:0(0) <mss 1400>\nquiet", after: "client < R. 0:0(0) ack 1\nquiet\n+100\nquiet", client: "OC", server: "ON"},
		{name: "the client's handshake", before: asked + "server > S. 0:0(0) ack 1\nserver < . 1:1(0) ack 1\nclient < S. 0:0(0) ack 1",
			after: "client < R. 1:1(0) ack 1\nserver < R. 1:1(0) ack 1\nquiet", client: "OH", server: "OE"},
		{name: "half-closed", before: handshake + "client > F. 1:1(0) ack 1\nclient < . 1:1(0) ack 2\nserver < F. 1:1(0) ack 1\nserver > . 1:1(0) ack 2",
			after: "client < R. 1:1(0) ack 2\nserver < R. 2:2(0) ack 1\nquiet", client: "OF", server: "OF", who: "client", how: ByFIN},
		{name: "a fault would lose the RST", opt: Options{Rules: faulty(lose)}, before: handshake,
			after: "client < R. 1:1(0) ack 1\nserver < R. 1:1(0) ack 1\nquiet", client: "OE", server: "OE"},
		{name: "a leg has vanished", opt: Options{Rules: faulty(at(rules.Server, rules.FirstByte, rules.Vanish))},
			before: opened + "client > P. 1:101(100) ack 1\nserver < P. 1:101(100) ack 1\nserver > P. 1:51(50) ack 101\n+0.05\nclient < . 1:1(0) ack 101",
			after:  "client < R. 1:1(0) ack 101\nserver < R. 101:101(0) ack 51\nquiet\n+3600\nquiet", client: "OD", server: "OD", how: ByRule},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlaybook(t, c.opt)
			p.play(c.before)
			p.kill()
			p.play(c.after)
			p.wantCodes(c.client, c.server)
			if c.who == "" {
				c.who = "tcpmitm"
			}
			if c.how == 0 && c.who == "tcpmitm" {
				c.how = ByOperator
			}
			if s := p.watch.closed[0]; s.FirstClose != c.who || s.How != c.how {
				t.Errorf("closed first by %s, way %d; want %s, %d", s.FirstClose, s.How, c.who, c.how)
			}
			if n := p.shard.Counters(); n.Flows != 0 || n.Killed != 1 || n.HalfOpen != 0 || n.Closed != 1 {
				t.Errorf("counters %+v", n)
			}
		})
	}
}

// A peer to which the RST was lost is told again.
func TestKillIsRepeatedToAPeerThatMissedIt(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	p.kill()
	p.dev.out[0], p.dev.out[1] = nil, nil // both are lost
	p.play(`
		client > P. 1:101(100) ack 1
		client < R 1:1(0)
		server > P. 1:51(50) ack 1
		server < R 1:1(0)
		quiet
	`)
}

// Only what is chosen ends: at most the limit, and nothing younger than the
// question.
func TestKillEndsWhatIsChosen(t *testing.T) {
	p := newPlaybook(t, Options{})
	for i := range 5 {
		p.clientA = netip.AddrPortFrom(p.clientA.Addr(), uint16(40000+i))
		p.play(handshake)
	}
	now, newest := p.dev.now, p.shard.NewestConn()
	if newest != 5 {
		t.Fatalf("the newest connection is %d, want 5", newest)
	}
	odd := func(c *Candidate) bool { return c.Client.Port()%2 == 1 }
	if _, n := p.shard.Choose(now, nil, 0, false, odd); n != 2 {
		t.Errorf("%d connections have an odd port, want 2", n)
	}
	if got := p.shard.Kill(now, nil, 9, 2, odd); len(got) != 1 || got[0].Conn != 2 {
		t.Errorf("up to number 2, killed %+v, want number 2", got)
	}
	if got := p.shard.Kill(now, nil, 9, 2, odd); len(got) != 0 {
		t.Errorf("killed again: %+v", got)
	}
	if got := p.shard.Kill(now, nil, 2, newest, nil); len(got) != 2 || got[0].Conn != 1 || got[1].Conn != 3 {
		t.Errorf("with a limit of 2, killed %+v, want numbers 1 and 3", got)
	}
	p.turn()
	p.dev.out[0], p.dev.out[1] = nil, nil
	left, n := p.shard.Choose(now, nil, -1, false, nil)
	if n != 2 || len(left) != 2 || left[0].Conn != 4 || left[0].Legs[0].State != endpoint.Established {
		t.Errorf("left are %d: %+v", n, left)
	}
	if _, n := p.shard.Choose(now, nil, 0, true, nil); n != 5 {
		t.Errorf("%d connections with those that are over, want 5", n)
	}
	p.play("client > P. 1:101(100) ack 1\nserver < P. 1:101(100) ack 1")
}

// Idle is how long both peers have been silent; what we send does not count.
func TestCandidatesKnowHowLongTheyAreIdle(t *testing.T) {
	p := newPlaybook(t, Options{})
	idle := func() (d time.Duration) {
		p.shard.Choose(p.dev.now, nil, 0, false, func(c *Candidate) bool { d = c.Idle; return true })
		return d
	}
	p.play("client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)\n+2")
	if got := idle(); got != 2*time.Second {
		t.Errorf("2 s after the SYN it is idle for %v", got)
	}
	p.shard.Kill(p.dev.now, nil, 1, ^uint64(0), nil)
	p.turn()
	p.dev.out[0], p.dev.out[1] = nil, nil
	p.legs[0].isn += 1000
	p.play(handshake + exchange + "+3600")
	if got := idle(); got != time.Hour+50*time.Millisecond {
		t.Errorf("idle for %v, want an hour and the time of the last ACK of ours", got)
	}
	p.play("server > P. 51:61(10) ack 101\nclient < P. 51:61(10) ack 101\n+0.02")
	if got := idle(); got != 20*time.Millisecond {
		t.Errorf("after octets of the server idle for %v", got)
	}
}
