package splice

import (
	"testing"
	"time"
	"unsafe"

	"tcpmitm/endpoint"
)

func TestVerdictOfAWholeConnection(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		+0.1
		server > S. 0:0(0) ack 1 win 60000 <mss 1400>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		+0.05
		client > . 1:1(0) ack 1 win 60000
		client > P. 1:101(100) ack 1 win 50000
		server < P. 1:101(100) ack 1
		+0.05
		client < . 1:1(0) ack 101
		server > . 1:1(0) ack 101 win 2000
		+0.2
		# the client's copy of what it has sent changes nothing
		client > P. 1:101(100) ack 1 win 40000
		client < . 1:1(0) ack 101
		server > P. 1:201(200) ack 101 win 60000
		client < P. 1:201(200) ack 101
		client > . 101:101(0) ack 201 win 60000
		+0.05
		server < . 101:101(0) ack 201
		client > F. 101:101(0) ack 201
		client < . 201:201(0) ack 102
		server < F. 101:101(0) ack 201
		+0.25
		server > . 201:201(0) ack 102
		+0.5
		server > F. 201:201(0) ack 102
		server < . 102:102(0) ack 202
		client < F. 201:201(0) ack 102
		+0.1
		client > . 102:102(0) ack 202
	`)
	p.wantCodes("--", "--")
	c, s := &p.watch.closed[0].Legs[0], &p.watch.closed[0].Legs[1]
	for _, v := range []struct {
		what      string
		got, want time.Duration
	}{
		{"client leg: SYN to SYN-ACK", c.SYNToSYNACK, 100 * time.Millisecond},
		{"client leg: handshake", c.Handshake, 150 * time.Millisecond},
		{"client leg: first octet", c.FirstByte, 150 * time.Millisecond},
		{"client leg: FIN to ACK", c.FINToACK, 100 * time.Millisecond},
		{"client leg: half-closed", c.HalfClosed, 750 * time.Millisecond},
		{"server leg: SYN to SYN-ACK", s.SYNToSYNACK, 100 * time.Millisecond},
		{"server leg: handshake", s.Handshake, 100 * time.Millisecond},
		{"server leg: first octet", s.FirstByte, 400 * time.Millisecond},
		{"server leg: FIN to ACK", s.FINToACK, 250 * time.Millisecond},
		{"server leg: half-closed", s.HalfClosed, 750 * time.Millisecond},
		{"server leg: smallest RTT", s.MinRTT, 50 * time.Millisecond},
	} {
		if v.got != v.want {
			t.Errorf("%s took %v, want %v", v.what, v.got, v.want)
		}
	}
	if c.PeerRetransmits != 1 || s.PeerRetransmits != 0 || c.Retransmits != 0 {
		t.Errorf("the client sent %d segments again, the server %d, we %d to the client; want 1, 0, 0", c.PeerRetransmits, s.PeerRetransmits, c.Retransmits)
	}
	if want := (Span{40000, 65535, true}); c.WindowIn != want {
		t.Errorf("the client's window was %+v, want %+v", c.WindowIn, want)
	}
	if want := (Span{2000, 65535, true}); s.WindowIn != want {
		t.Errorf("the server's window was %+v, want %+v", s.WindowIn, want)
	}
	if c.OctetsIn != 100 || c.OctetsOut != 200 || s.OctetsIn != 200 || s.OctetsOut != 100 {
		t.Errorf("octets: %d and %d on the client leg, %d and %d on the server leg", c.OctetsIn, c.OctetsOut, s.OctetsIn, s.OctetsOut)
	}
}

// What did not happen is not said to have taken no time.
func TestVerdictOfARefusal(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > R. 0:0(0) ack 1
		client < R. 0:0(0) ack 1
	`)
	for l, v := range p.watch.closed[0].Legs {
		for _, d := range []time.Duration{v.SYNToSYNACK, v.Handshake, v.FirstByte, v.FINToACK, v.HalfClosed} {
			if d != NotYet {
				t.Errorf("%v leg: a phase that never was took %v", endpoint.Leg(l), d)
			}
		}
		if v.WindowIn.Seen || v.WindowOut.Seen {
			t.Errorf("%v leg: windows %+v and %+v without a connection", endpoint.Leg(l), v.WindowIn, v.WindowOut)
		}
	}
}

// A SYN that the client repeats while it is held is one of its retransmissions.
func TestHeldSYNsAreCounted(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		client > S 0:0(0) <mss 1400>
		client > R 1:1(0)
	`)
	if v := p.wantCodes("CC", "CC"); v.PeerRetransmits != 1 {
		t.Errorf("the client sent %d SYNs again, want 1", v.PeerRetransmits)
	}
}

// The observer can be switched while connections live.
func TestWatch(t *testing.T) {
	p := newPlaybook(t, Options{EndsOnly: true})
	p.play(handshake)
	if p.watch.segments != 0 {
		t.Fatalf("%d segments were told of although nobody watched", p.watch.segments)
	}
	p.shard.Watch(true)
	p.play("client > P. 1:101(100) ack 1\nserver < P. 1:101(100) ack 1")
	if p.watch.segments != 2 || p.watch.octets != 200 {
		t.Errorf("%d segments of %d octets were told of, want 2 of 200", p.watch.segments, p.watch.octets)
	}
	p.shard.Watch(false)
	p.play("client > P. 101:201(100) ack 1\nserver < P. 101:201(100) ack 1")
	if p.watch.segments != 2 {
		t.Errorf("%d segments were told of after the end of watching", p.watch.segments)
	}
}

// What a flow keeps of both legs beside the endpoints stays small.
func TestAFlowIsSmall(t *testing.T) {
	const limit = 1 << 10
	if n := unsafe.Sizeof(flow{}); n > limit {
		t.Errorf("a flow takes %d octets, more than %d", n, limit)
	}
}

// What follows a FIN on a leg, in either direction, is counted where it is new.
func TestDataAfterFINIsCounted(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 60000 <mss 1400>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1 win 60000
		client > F. 1:1(0) ack 1 win 60000
		client < . 1:1(0) ack 2
		server < F. 1:1(0) ack 1
		server > . 1:1(0) ack 2 win 60000
		server > P. 1:101(100) ack 2 win 60000
		client < P. 1:101(100) ack 2
		client > . 2:2(0) ack 101 win 60000
		+0.05
		server < . 2:2(0) ack 101
		# what is sent again is not new
		server > P. 1:101(100) ack 2 win 60000
		server < . 2:2(0) ack 101
		server > F. 101:101(0) ack 2 win 60000
		server < . 2:2(0) ack 102
		client < F. 101:101(0) ack 2
		client > . 2:2(0) ack 102 win 60000
	`)
	if len(p.watch.closed) != 1 {
		t.Fatalf("%d connections are over", len(p.watch.closed))
	}
	for l, v := range p.watch.closed[0].Legs {
		if v.DataAfterFIN != 1 {
			t.Errorf("leg %d: %d segments with data after FIN, want 1", l, v.DataAfterFIN)
		}
	}
}
