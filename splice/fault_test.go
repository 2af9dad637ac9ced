package splice

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// withRules makes the pointer that Options want.
func withRules(list ...*rules.Rule) *atomic.Pointer[rules.Set] {
	var p atomic.Pointer[rules.Set]
	p.Store(rules.New(list))
	return &p
}

// faulty is one rule for all connections.
func faulty(f ...rules.Fault) *atomic.Pointer[rules.Set] {
	return withRules(&rules.Rule{Name: "late", Match: rules.Match{Probability: 1}, Faults: f})
}

func (p *playbook) wantNotes(want ...string) {
	p.t.Helper()
	if !slices.Equal(p.watch.notes, want) {
		p.t.Errorf("notes %q, want %q", p.watch.notes, want)
	}
}

func TestAHeldSYNACKLeavesLateAndOnce(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, On: rules.SYNACK, By: 600 * time.Millisecond})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		+0.59
		quiet
		+0.02
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		+2
		quiet
	`)
	p.wantNotes("syn-ack held 600ms by rule late")
}

func TestAHeldFINLeavesLateAndOnce(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.FIN, By: 1500 * time.Millisecond})})
	p.play(handshake + `
		client > FP. 1:101(100) ack 1
		client < . 1:1(0) ack 102
		# the octets are not held
		server < P. 1:101(100) ack 1
		server > . 1:1(0) ack 101
		+1.49
		quiet
		+0.02
		server < F. 101:101(0) ack 1
		server > . 1:1(0) ack 102
		+2
		quiet
	`)
	p.wantNotes("fin held 1.5s by rule late")
}

func TestAHeldACKLeavesLateAndOnce(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, On: rules.ACK, By: 150 * time.Millisecond})})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > . 1:1(0) ack 101
		+0.149
		quiet
		+0.003
		client < . 1:1(0) ack 101
		+2
		quiet
	`)
	p.wantNotes("ack held 150ms by rule late")
}

func TestAnArrivingSYNACKIsHeldOnce(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, In: true, On: rules.SYNACK, By: 600 * time.Millisecond})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 <mss 1234>
		+0.3
		# sent again while the first one is held: it is not let through either
		server > S. 0:0(0) ack 1 <mss 1234>
		+0.29
		quiet
		+0.02
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 1234>
		# after that nothing is held
		server > S. 0:0(0) ack 1 <mss 1234>
		server < . 1:1(0) ack 1
		quiet
	`)
	p.wantNotes("syn-ack held 600ms by rule late")
}

func TestAnArrivingFINIsHeldWithItsOctets(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.FIN, By: time.Second})})
	p.play(handshake + `
		client > FP. 1:101(100) ack 1
		+0.3
		client > FP. 1:101(100) ack 1
		+0.69
		quiet
		+0.02
		client < . 1:1(0) ack 102
		server < FP. 1:101(100) ack 1
	`)
	if n := p.shard.Counters().InWire; n != 0 {
		t.Errorf("%d segments are still held", n)
	}
	p.wantNotes("fin held 1s by rule late")
}

func TestArrivingACKsAreHeldEach(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.ACK, By: 100 * time.Millisecond})})
	p.play(handshake + `
		server > P. 1:101(100) ack 1
		client < P. 1:101(100) ack 1
		+0.05
		server < . 1:1(0) ack 101
		client > . 1:1(0) ack 101
		+0.05
	`)
	if got := p.shard.Connections(p.dev.now, nil, -1)[0].Legs[0].Delivered; got != 0 {
		t.Errorf("%d octets acknowledged before the ACK was let through", got)
	}
	p.play(`+0.06`)
	if got := p.shard.Connections(p.dev.now, nil, -1)[0].Legs[0].Delivered; got != 100 {
		t.Errorf("%d octets acknowledged, want 100", got)
	}
	p.wantNotes("ack held 100ms by rule late")
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.ACK, By: time.Minute})})
	p.play(handshake)
	for range 3 * faults.MaxHeldSegments {
		p.play(`client > . 1:1(0) ack 1`)
	}
	c := p.shard.Counters()
	if c.InWire != faults.MaxHeldSegments || c.WireFull != 2*faults.MaxHeldSegments {
		t.Errorf("%d held, %d not", c.InWire, c.WireFull)
	}
	p.play(`
		client > R 1:1(0)
		server < R. 1:1(0) ack 1
	`)
	if n := p.shard.Counters().InWire; n != 0 {
		t.Errorf("%d segments of a connection that is over are held", n)
	}
	p.wantOver("client", ByReset, endpoint.Established, endpoint.Established)
}

func TestProfilesAreMadeOncePerRuleAndSet(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, On: rules.FIN, By: time.Second})})
	r := loadRules(p.shard.opt.Rules).Rules()[0]
	a, b := p.shard.profileOf(r), p.shard.profileOf(r)
	if a != b || !a.moments.holdsKind(endpoint.Client, endpoint.HeldFIN) || a.moments.holdsKind(endpoint.Server, endpoint.HeldFIN) {
		t.Error("the profile is not the rule's")
	}
	p.shard.opt.Rules.Store(rules.New(nil))
	p.shard.profileOf(r)
	if len(p.shard.profiles.of) != 1 {
		t.Error("profiles of an old set are kept")
	}
	if p.shard.profileOf(nil).moments != nil {
		t.Error("a connection without a rule has faults")
	}
}
