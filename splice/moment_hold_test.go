package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func TestAFINIsHeldUntilTheLegIsHalfClosed(t *testing.T) {
	f := rules.Fault{Leg: rules.Server, On: rules.FIN, Do: rules.Hold, Until: rules.FirstByte}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(opened + `
		client > F. 1:1(0) ack 1
		client < . 1:1(0) ack 2
		+30
		quiet
		server > P. 1:51(50) ack 1
		client < P. 1:51(50) ack 2
		server < F. 1:1(0) ack 51
	`)
	p.wantNotes("fin held until first-byte by rule late")
	p.wantFired("server fin hold until first-byte")
}

func TestJitterAndChoiceOfHeldSegments(t *testing.T) {
	f := rules.Fault{Leg: rules.Client, On: rules.ACK, By: 300 * time.Millisecond, Jitter: 100 * time.Millisecond, Which: rules.Which{Nth: 2}}
	p := newPlaybook(t, Options{Rules: faulty(f)})
	p.play(opened + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > . 1:1(0) ack 101
		+0.05
		client < . 1:1(0) ack 101
		client > P. 101:201(100) ack 1
		server < P. 101:201(100) ack 1
		server > . 1:1(0) ack 201
		+0.19
		quiet
		+0.22
		client < . 1:1(0) ack 201
	`)
	if n := len(p.watch.faults); n != 1 || p.watch.faults[0].By < 200*time.Millisecond || p.watch.faults[0].By > 400*time.Millisecond {
		t.Errorf("%d faults: %+v", n, p.watch.faults)
	}
}

func TestSimultaneousClose(t *testing.T) {
	r := &rules.Rule{Name: "cross", Match: rules.Match{Probability: 1}, SimultaneousClose: true}
	p := newPlaybook(t, Options{Rules: withRules(r)})
	p.play(opened + `
		client > F. 1:1(0) ack 1
		server < F. 1:1(0) ack 1
		quiet
		# what the server still has to say arrives
		server > P. 1:51(50) ack 2
		client < P. 1:51(50) ack 1
		+0.05
		server < . 2:2(0) ack 51
		server > F. 51:51(0) ack 2
		server < . 2:2(0) ack 52
		client < F. 51:51(0) ack 1
		client < . 52:52(0) ack 2
	`)
	if st := p.shard.Connections(p.dev.now, nil, -1)[0].Legs[0].State; st != endpoint.Closing {
		t.Errorf("the client leg is %v, want CLOSING", st)
	}
	p.play("client > . 2:2(0) ack 52")
	p.wantOver("client", ByFIN, endpoint.TimeWait, endpoint.TimeWait)
}

// The server does not close for long: the FIN is taken after all.
func TestSimultaneousCloseIsNotWaitedForForEver(t *testing.T) {
	r := &rules.Rule{Name: "cross", Match: rules.Match{Probability: 1}, SimultaneousClose: true}
	p := newPlaybook(t, Options{Rules: withRules(r)})
	p.play(opened + `
		client > F. 1:1(0) ack 1
		server < F. 1:1(0) ack 1
		server > . 1:1(0) ack 2
		+19.9
		quiet
		+0.2
		client < . 1:1(0) ack 2
	`)
}

func TestSimultaneousOpenWithTheClient(t *testing.T) {
	r := &rules.Rule{Name: "both", Match: rules.Match{Probability: 1}, SimultaneousOpen: true}
	p := newPlaybook(t, Options{Rules: withRules(r)})
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 65535 <mss 1300,ws 8,sackOK>
		server < . 1:1(0) ack 1
		client < S 0:0(0) <mss 1300,ws,sackOK>
		client < S. 0:0(0) ack 1 <mss 1300,ws,sackOK>
		client > S. 0:0(0) ack 1 win 65535 <mss 1400,ws 7,sackOK>
		quiet
	` + exchange)
}
