package splice

import (
	"testing"
	"time"
)

func TestHistogramPutsEachDurationIntoItsBucket(t *testing.T) {
	var h Histogram
	for i, bound := range RTTBounds {
		if i > 0 && bound <= RTTBounds[i-1] {
			t.Errorf("bound %v is not above %v", bound, RTTBounds[i-1])
		}
		h.add(bound)     // the bound itself belongs to the bucket
		h.add(bound + 1) // and what is above it to the next
	}
	want := uint64(2)
	for i, n := range h.Buckets {
		switch i {
		case 0, len(RTTBounds):
			want = 1
		default:
			want = 2
		}
		if n != want {
			t.Errorf("bucket %d has %d durations, want %d", i, n, want)
		}
	}
	if got := h.Count(); got != uint64(2*len(RTTBounds)) {
		t.Errorf("%d durations, want %d", got, 2*len(RTTBounds))
	}
	h.add(time.Hour)
	if h.Buckets[len(RTTBounds)] != 2 {
		t.Error("an hour is not in the last bucket")
	}
}

// One connection ends in order, with a segment of ours sent again, and one by
// a RST of the server. What the legs do is counted when they do it.
func TestEndsAreCounted(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		+0.1
		server > S. 0:0(0) ack 1 win 60000 <mss 1400>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		+0.05
	`)
	legs := p.shard.Counters().Legs
	if c, s := &legs[0], &legs[1]; c.Handshakes != 0 || s.Handshakes != 1 || s.Handshake.Sum != uint64(100*time.Millisecond) {
		t.Errorf("the legs have done %+v and %+v, want one handshake of 100 ms with the server", c, s)
	}
	p.play(`
		client > . 1:1(0) ack 1 win 60000
		client > P. 1:101(100) ack 1 win 60000
		server < P. 1:101(100) ack 1
		+0.5
		server < P. 1:101(100) ack 1
		client < . 1:1(0) ack 101
		client > P. 1:101(100) ack 1 win 60000
		client < . 1:1(0) ack 101
	`)
	if e := p.shard.Counters().Ends; e != (Ends{}) {
		t.Errorf("while the connection lives there are %+v", e)
	}
	legs = p.shard.Counters().Legs
	c, s := &legs[0], &legs[1]
	if c.Handshakes != 1 || s.Handshakes != 1 || s.Retransmits != 1 || s.Timeouts != 1 || c.Retransmits != 0 || c.PeerRetransmits != 1 || s.PeerRetransmits != 0 {
		t.Errorf("the legs have done %+v and %+v, want a handshake each, a retransmission of each of the client's, and one to the server", c, s)
	}
	p.play(`
		server > R. 1:1(0) ack 101
		client < R. 1:1(0) ack 101
	`)
	e := p.shard.Counters().Ends
	if e.By[EndedByServer][ByReset] != 1 {
		t.Errorf("ends are %v, want one by a RST of the server", e.By)
	}
	if e.RTT[1].Count() != 1 {
		t.Errorf("the server leg's round trips are %+v", e.RTT[1])
	}
	if again := p.shard.Counters().Legs; again != legs {
		t.Errorf("the end has changed what the legs have done, %+v, to %+v", legs, again)
	}
}
