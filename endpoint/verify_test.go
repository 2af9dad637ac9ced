package endpoint

import (
	"strings"
	"testing"
)

// TestVerifySees breaks one field at a time of an endpoint with octets in
// flight, and wants Verify to see it.
func TestVerifySees(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Endpoint)
		want  string
	}{
		{"acknowledged what was not sent", func(e *Endpoint) { e.snd.una = e.snd.nxt + 1 }, "is after snd.nxt"},
		{"a gap in what is outstanding", func(e *Endpoint) { e.inflight.live()[0].start++ }, "wanted it to start"},
		{"sent and not recorded", func(e *Endpoint) { e.snd.nxt++ }, "transmissions end"},
		{"a wrong count of what was delivered", func(e *Endpoint) { e.inflight.sacked++ }, "recorded"},
		{"a wrong count of what was lost", func(e *Endpoint) { e.inflight.lost++ }, "recorded"},
		{"lost and delivered at once", func(e *Endpoint) { x := &e.inflight.live()[0]; x.lost, x.sacked = true, true }, "both lost and delivered"},
		{"nobody waits for the ACK", func(e *Endpoint) { e.timer.disarm() }, "no timer is armed"},
	} {
		s := newSteady(t)
		s.a.Write(s.now, NewChunk(make([]byte, 3000), nil))
		for s.a.PollSegment(s.now, &s.seg) {
		}
		if err := s.a.Verify(); err != nil {
			t.Fatalf("before anything is broken: %v", err)
		}
		c.spoil(s.a)
		if err := s.a.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Verify says %v, want something with %q", c.name, err, c.want)
		}
	}
}
