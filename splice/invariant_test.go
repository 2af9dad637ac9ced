package splice

import (
	"strings"
	"testing"

	"tcpmitm/endpoint"
)

// TestCheckInvariantsSees breaks one thing at a time of a flow with octets
// that wait, and wants CheckInvariants to see it.
func TestCheckInvariantsSees(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Shard, *flow)
		want  string
	}{
		{"no timer", func(s *Shard, f *flow) { s.wheel.stop(&f.timer) }, "timer of the flow is late"},
		{"a timer that nobody has", func(s *Shard, f *flow) { s.wheel.count += 2 }, "timers for"},
		{"octets that nobody carries over", func(s *Shard, f *flow) {
			seg := endpoint.Segment{Seq: f.legs[0].irs + 301, Ack: f.legs[0].iss + 1, Flags: endpoint.ACK, Window: 5000, Payload: make([]byte, 10)}
			f.legs[0].ep.HandleSegment(s.dev.Now(), &seg)
			s.arm(f)
		}, "not carried over"},
		{"a FIN that nobody passes on", func(s *Shard, f *flow) { f.legs[0].peerClosed = true }, "is not passed on"},
	} {
		p := newPlaybook(t, Options{})
		p.play(handshake + `
			client > P. 1:301(300) ack 1
			server < P. 1:301(300) ack 1
			+0.1
			client < . 1:1(0) ack 301
		`)
		if err := p.shard.CheckInvariants(); err != nil {
			t.Fatalf("before anything is broken: %v", err)
		}
		c.spoil(p.shard, p.shard.live.first)
		if err := p.shard.CheckInvariants(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: CheckInvariants says %v, want something with %q", c.name, err, c.want)
		}
	}
}
