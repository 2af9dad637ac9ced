package splice

import (
	"testing"

	"tcpmitm/endpoint"
)

// wantStates demands a number of legs in each of the given states, and none in
// any other.
func (p *playbook) wantStates(why string, client, server map[endpoint.State]int) {
	p.t.Helper()
	got := p.shard.Counters().States
	for l, want := range []map[endpoint.State]int{client, server} {
		for st, n := range got[l] {
			if n != want[endpoint.State(st)] {
				p.t.Errorf("%s: %d %v legs in %v, want %d", why, n, endpoint.Leg(l), endpoint.State(st), want[endpoint.State(st)])
			}
		}
	}
}

// The playbook recounts after each line (CheckInvariants); here it is held
// against what a person would say.
func TestLegsAreCountedByState(t *testing.T) {
	type states = map[endpoint.State]int
	p := newPlaybook(t, Options{})
	p.play("client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)")
	p.wantStates("a SYN is held", states{endpoint.Listen: 1}, states{endpoint.SynSent: 1})
	p.play("server > S. 0:0(0) ack 1\nserver < . 1:1(0) ack 1\nclient < S. 0:0(0) ack 1")
	p.wantStates("the client is answered", states{endpoint.SynReceived: 1}, states{endpoint.Established: 1})
	p.play("client > . 1:1(0) ack 1")
	p.wantStates("open", states{endpoint.Established: 1}, states{endpoint.Established: 1})
	p.play(goodbye)
	p.wantStates("over but for TIME-WAIT", states{endpoint.Closed: 1}, states{endpoint.TimeWait: 1})
	p.legs[0].isn += 1000
	p.clientA = addrPort("10.1.0.1:40001")
	p.play(handshake)
	p.wantStates("and another one", states{endpoint.Closed: 1, endpoint.Established: 1}, states{endpoint.TimeWait: 1, endpoint.Established: 1})
	p.play("+200")
	p.wantStates("TIME-WAIT is over", states{endpoint.Established: 1}, states{endpoint.Established: 1})
	p.shard.Shutdown(p.dev.now)
	p.wantStates("after the end", nil, nil)
}
