package splice

import (
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// wantFired demands that these faults, in words, and no others have fired.
func (p *playbook) wantFired(want ...string) {
	p.t.Helper()
	var got []string
	for _, e := range p.watch.faults {
		got = append(got, e.Text)
	}
	if len(got) != len(want) {
		p.t.Fatalf("faults %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			p.t.Errorf("faults %q, want %q", got, want)
		}
	}
}

// at makes a fault at a moment.
func at(l rules.Leg, on rules.On, do rules.Do) rules.Fault {
	return rules.Fault{Leg: l, On: on, Do: do}
}

// opened is the handshake, with nothing said about what follows it at once.
var opened = strings.TrimSuffix(strings.TrimSpace(handshake), "quiet")

// exchange is a request and its answer, after the handshake.
const exchange = `
	client > P. 1:101(100) ack 1
	server < P. 1:101(100) ack 1
	server > P. 1:51(50) ack 101
	client < P. 1:51(50) ack 101
	client > . 101:101(0) ack 51
	+0.05
	server < . 101:101(0) ack 51
	quiet
`

func TestResetAtAMoment(t *testing.T) {
	both := [2]bool{true, true}
	for _, c := range []struct {
		name   string
		fault  rules.Fault
		script string
		states [2]endpoint.State
	}{
		{"established", rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.ResetLeg, Legs: both}, opened + `
			client < R. 1:1(0) ack 1
			server < R. 1:1(0) ack 1
		`, [2]endpoint.State{endpoint.Established, endpoint.Established}},
		{"later", rules.Fault{Leg: rules.Server, On: rules.Established, Do: rules.ResetLeg, Legs: both, Which: rules.Which{After: 30 * time.Second}}, opened + `
			+29.9
			quiet
			+0.2
			client < R. 1:1(0) ack 1
			server < R. 1:1(0) ack 1
		`, [2]endpoint.State{endpoint.Established, endpoint.Established}},
		{"first byte, before it is carried over", rules.Fault{Leg: rules.Client, On: rules.FirstByte, Do: rules.ResetLeg, Legs: both}, opened + `
			client > P. 1:101(100) ack 1
			client < R. 1:1(0) ack 101
			server < R. 1:1(0) ack 1
		`, [2]endpoint.State{endpoint.Established, endpoint.Established}},
		{"closing", rules.Fault{Leg: rules.Client, On: rules.Closing, Do: rules.ResetLeg, Legs: both}, opened + `
			client > F. 1:1(0) ack 1
			client < R. 1:1(0) ack 2
			server < R. 1:1(0) ack 1
		`, [2]endpoint.State{endpoint.CloseWait, endpoint.Established}},
		{"half-closed", rules.Fault{Leg: rules.Client, On: rules.HalfClosed, Do: rules.ResetLeg, Legs: both}, opened + `
			client > F. 1:1(0) ack 1
			client < . 1:1(0) ack 2
			server < F. 1:1(0) ack 1
			client < R. 1:1(0) ack 2
			server < R. 2:2(0) ack 1
		`, [2]endpoint.State{endpoint.CloseWait, endpoint.FinWait1}},
		{"accept then die", rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.AcceptThenDie}, opened + `
			client < R. 1:1(0) ack 1
			server < R. 1:1(0) ack 1
		`, [2]endpoint.State{endpoint.Established, endpoint.Established}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlaybook(t, Options{Rules: faulty(c.fault)})
			p.play(c.script + "quiet")
			p.wantFired(c.fault.String())
			who, how := "tcpmitm", ByRule
			if c.fault.On == rules.Closing || c.fault.On == rules.HalfClosed {
				who, how = "client", ByFIN
			}
			s := p.wantOver(who, how, c.states[0], c.states[1])
			if s.Fault != c.fault.String() {
				t.Errorf("ended by %q", s.Fault)
			}
		})
	}
}

// One leg alone is reset; the other peer is not told, and is given up after a
// long silence.
func TestResetOfOneLegLeavesTheOtherAlone(t *testing.T) {
	f := rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.ResetLeg, Legs: [2]bool{true, false}, Which: rules.Which{After: time.Second}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(opened + `
		+1.01
		client < R. 1:1(0) ack 1
		server > P. 1:51(50) ack 1
		+0.05
		server < . 1:1(0) ack 51
		+600
		quiet
		server > P. 51:61(10) ack 1
		+0.05
		server < . 1:1(0) ack 61
		+1190
		quiet
		+20
		server < R. 1:1(0) ack 61
	`)
	p.wantOver("tcpmitm", ByRule, endpoint.Established, endpoint.Established)
}

func TestALegVanishes(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(at(rules.Server, rules.FirstByte, rules.Vanish))})
	p.play(opened + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > P. 1:51(50) ack 101
		+0.05
		client < . 1:1(0) ack 101
		# nobody answers the server any more, whatever it sends
		server > P. 1:51(50) ack 101
		server > R. 51:51(0) ack 101
		# the client's side lives, and waits
		client > P. 101:201(100) ack 1
		+0.05
		client < . 1:1(0) ack 201
		+60
		quiet
	`)
	c := p.shard.Connections(p.dev.now, nil, -1)[0]
	if !c.Legs[endpoint.Server].Vanished || c.Legs[endpoint.Client].Vanished {
		t.Errorf("vanished: %+v", c.Legs)
	}
	if n := p.shard.Counters().Reasons[endpoint.ReasonVanished]; n != 2 {
		t.Errorf("%d segments counted as thrown away, want 2", n)
	}
	p.play(`
		client > R 201:201(0)
		server > P. 1:51(50) ack 101
		+1100
		quiet
	`)
	p.play(`
		+110
		quiet
	`)
	s := p.wantOver("tcpmitm", ByRule, endpoint.Established, endpoint.Established)
	if s.Fault != "server first-byte vanish" {
		t.Errorf("ended by %q", s.Fault)
	}
}

// A server's handshake is complete before it loses its partner.
func TestVanishAtEstablishedLeavesAHalfOpenCorpse(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(at(rules.Server, rules.Established, rules.Vanish))})
	p.play(opened + `
		server > P. 1:51(50) ack 1
		+5
		server > F. 51:51(0) ack 1
		+5
		quiet
		client > S 5000:5000(0)
		client < . 1:1(0) ack 1
		+1300
		client < R. 1:1(0) ack 1
	`)
	p.wantOver("tcpmitm", ByRule, endpoint.Established, endpoint.Established)
}

func TestFINByRule(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(at(rules.Client, rules.FirstByte, rules.SendFIN))})
	p.play(opened + `
		client > P. 1:101(100) ack 1
		client < F. 1:1(0) ack 101
		server < P. 1:101(100) ack 1
		# what the server still says is thrown away
		server > P. 1:51(50) ack 101
		client > F. 101:101(0) ack 2
		client < . 2:2(0) ack 102
		server < F. 101:101(0) ack 51
		server > F. 51:51(0) ack 102
		server < . 102:102(0) ack 52
		quiet
	`)
	s := p.wantOver("tcpmitm", ByRule, endpoint.TimeWait, endpoint.TimeWait)
	if s.Fault != "client first-byte fin" {
		t.Errorf("ended by %q", s.Fault)
	}
}

func TestStallAndDribble(t *testing.T) {
	stall := at(rules.Client, rules.Established, rules.Stall)
	stall.By = 10 * time.Second
	p := newPlaybook(t, Options{Rules: faulty(stall)})
	p.play(opened)
	p.wantWindow(endpoint.Client, 0)
	p.play(`
		+9.9
		quiet
		+0.2
	`)
	p.wantWindow(endpoint.Client, 65535)
	dribble := at(rules.Server, rules.FirstByte, rules.Dribble)
	dribble.Size = 20
	p = newPlaybook(t, Options{Rules: faulty(dribble)})
	p.play(opened + `
		server > P. 1:51(50) ack 1
		client < P. 1:51(50) ack 1
		client > . 1:1(0) ack 51
	`)
	p.wantWindow(endpoint.Server, 20)
	p.play(`
		+10
		quiet
	`)
}

// No segment tells a window that the rule forbids from the first moment on:
// neither the SYNs, nor the ACK that completes the handshake, nor the one for
// data that came in one burst with the handshake's last segment.
func TestDribbleFromTheStart(t *testing.T) {
	client, server := at(rules.Client, rules.Established, rules.Dribble), at(rules.Server, rules.Established, rules.Dribble)
	client.Size, server.Size = 3000, 200
	opt := Options{Rules: faulty(client, server), Endpoint: endpoint.DefaultConfig()}
	p := newPlaybook(t, opt)
	told := func(l endpoint.Leg, most int) {
		t.Helper()
		q := p.dev.out[l]
		if len(q) == 0 {
			t.Fatalf("nothing was sent to the %v", l)
		}
		for i := range q {
			n := int(q[i].seg.Window)
			if !q[i].seg.Flags.Has(endpoint.SYN) {
				n <<= 7 // as the SYNs say
			}
			if n == 0 || n > most {
				t.Errorf("%v: a window of %d octets, want at most %d", q[i].seg, n, most)
			}
		}
	}
	p.play(`client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>`)
	told(endpoint.Server, 200)
	p.play(`
		server < S 0:0(0) <mss 1400,ws 7,sackOK>
		server > S. 0:0(0) ack 1 win 65535 <mss 1300,ws 8,sackOK>
	`)
	told(endpoint.Server, 200)
	told(endpoint.Client, 3000)
	p.play(`
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 1300,ws 7,sackOK>
		burst
		client > . 1:1(0) ack 1
		client > P. 1:101(100) ack 1
		client > . 101:1401(1300) ack 1
		client > . 1401:2701(1300) ack 1
		flush
	`)
	told(endpoint.Client, 3000)
}

// wantWindow takes the next segment, which must be an ACK with this window.
func (p *playbook) wantWindow(l endpoint.Leg, n int) {
	p.t.Helper()
	q := &p.dev.out[l]
	if len(*q) != 1 || (*q)[0].seg.Flags != endpoint.ACK || int((*q)[0].seg.Window) != n {
		p.t.Fatalf("sent to the %v: %+v, want one ACK with window %d", l, *q, n)
	}
	*q = nil
}

func TestAcknowledgementsWithheldAndRepeated(t *testing.T) {
	withhold := at(rules.Client, rules.Established, rules.WithholdACKs)
	withhold.By = 2 * time.Second
	repeat := at(rules.Server, rules.FirstByte, rules.DuplicateACKs)
	repeat.N = 3
	p := newPlaybook(t, Options{Rules: faulty(withhold, repeat)})
	p.play(opened + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > P. 1:51(50) ack 101
		client < P. 1:51(50) ack 1
		server < . 101:101(0) ack 51
		server < . 101:101(0) ack 51
		server < . 101:101(0) ack 51
		server < . 101:101(0) ack 51
		client > . 101:101(0) ack 51
		+1.5
		quiet
		+0.6
		client < . 51:51(0) ack 101
		+5
		quiet
	`)
	p.wantFired("client established withhold-acks by 2s", "server first-byte duplicate-acks n 3")
}

func TestStretchedACKs(t *testing.T) {
	f := at(rules.Client, rules.Established, rules.StretchACKs)
	f.N = 3
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(opened + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		client > P. 101:201(100) ack 1
		server < P. 101:201(100) ack 1
		server > . 1:1(0) ack 201
		+0.3
		quiet
		client > P. 201:301(100) ack 1
		server < P. 201:301(100) ack 1
		client < . 1:1(0) ack 301
	`)
}

func TestUnreachableAtAMoment(t *testing.T) {
	f := at(rules.Client, rules.Established, rules.ICMP)
	f.Code, f.After = 1, time.Second
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(handshake + "+1.01")
	if len(p.dev.icmp) != 1 {
		t.Fatalf("%d ICMP errors", len(p.dev.icmp))
	}
	e := p.dev.icmp[0]
	if e.leg != endpoint.Client || e.e.Type != 3 || e.e.Code != 1 || e.seq != p.legs[0].isn+1 || e.e.From != p.serverA.Addr() || e.e.To != p.clientA.Addr() {
		t.Errorf("sent %+v", e)
	}
}

// A moment comes once to a connection: the choices count connections.
func TestNthCountsTheConnectionsOfTheRule(t *testing.T) {
	f := rules.Fault{On: rules.Established, Do: rules.ResetLeg, Legs: [2]bool{true, true}, Which: rules.Which{Nth: 2}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(handshake + "quiet")
	p.play(`
		client > R 1:1(0)
		server < R. 1:1(0) ack 1
		+20
	`)
	p.play(opened + `
		client < R. 1:1(0) ack 1
		server < R. 1:1(0) ack 1
	`)
	if got := loadRules(p.shard.opt.Rules).Rules()[0].Fired(); got != 1 {
		t.Errorf("fired %d times", got)
	}
}

// A rule that is stopped does nothing to live connections.
func TestAStoppedRuleDoesNothingMore(t *testing.T) {
	f := rules.Fault{On: rules.Established, Do: rules.Vanish, Which: rules.Which{After: time.Second}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(handshake)
	loadRules(p.shard.opt.Rules).Rules()[0].Stop()
	p.play("+2" + exchange)
	p.wantFired()
}

// The leg at whose moment it happens may be gone; the other one is reset all
// the same.
func TestAResetOfTheOtherLegThoughThisOneIsGone(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(
		rules.Fault{Leg: rules.Server, On: rules.Established, Do: rules.Vanish, Which: rules.Which{After: time.Second}},
		rules.Fault{Leg: rules.Server, On: rules.Established, Do: rules.ResetLeg, Legs: [2]bool{true, false}, Which: rules.Which{After: 2 * time.Second}},
	)})
	p.play(handshake + `
		+1.9
		quiet
		+0.2
		client < R. 1:1(0) ack 1
	`)
	if n := len(p.watch.faults); n != 2 {
		t.Errorf("%d faults", n)
	}
}

// What the wire had kept for a leg comes too late if that has vanished.
func TestAVanishedLegTakesNothingThatWasKept(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(
		rules.Fault{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Delay, By: 2 * time.Second},
		rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.Vanish, Which: rules.Which{After: time.Second}},
	)})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		+3
		quiet
	`)
	if n := p.shard.Counters().Reasons[endpoint.ReasonVanished]; n != 1 {
		t.Errorf("%d segments came to the leg that has vanished", n)
	}
	if n := p.shard.live.first.legs[endpoint.Client].ep.Readable(); n != 0 {
		t.Errorf("%d octets were taken", n)
	}
}

// What a rule does at the time that it is stopped ends then.
func TestStoppingARuleEndsWhatItDoes(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(
		rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.WithholdACKs},
		rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Delay, By: 10 * time.Second},
		rules.Fault{Leg: rules.Server, In: true, On: rules.FIN, Do: rules.Hold, Until: rules.HalfClosed},
		rules.Fault{Leg: rules.Server, On: rules.FIN, Do: rules.Delay, By: time.Hour},
	)})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		client > F. 101:101(0) ack 1
		server > F. 1:1(0) ack 1
		+0.1
		quiet
	`)
	loadRules(p.shard.opt.Rules).Rules()[0].Stop()
	p.shard.Reconsider()
	p.turn()
	p.play(`
		client < F. 1:1(0) ack 102
		server < P. 1:101(100) ack 1
		server < F. 101:101(0) ack 2
	`)
	if n := p.shard.Counters().InWire; n != 0 {
		t.Errorf("%d segments are held", n)
	}
}

// After a FIN by rule the client has gone, and the server, which knows nothing
// of it, never says anything more.
func TestAServerIsGivenUpWhoseClientAFINHasSentAway(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, On: rules.Established, Do: rules.SendFIN})})
	p.play(opened + `
		client < F. 1:1(0) ack 1
		client > F. 1:1(0) ack 2
		client < . 2:2(0) ack 2
		server < F. 1:1(0) ack 1
		server > . 1:1(0) ack 2
		+1199
		server > P. 1:101(100) ack 2
		+0.1
		server < . 2:2(0) ack 101
		+1199
		quiet
		+2
		server < R. 2:2(0) ack 101
		+20
	`)
	p.wantEmpty()
}
