package splice

import (
	"testing"

	"tcpmitm/endpoint"
)

// What is used again has nothing of its use before, and is nobody else's.
func TestSparesAreUsedAgain(t *testing.T) {
	var sp spares[endpoint.Options]
	first := sp.keep(endpoint.Options{MSS: 1400})
	second := sp.keep(endpoint.Options{MSS: 1400})
	if first == second {
		t.Fatal("two are kept in one place")
	}
	sp.giveBack(first)
	sp.giveBack(nil)
	if again := sp.keep(endpoint.Options{WindowScale: 3}); again != first || *again != (endpoint.Options{WindowScale: 3}) {
		t.Errorf("kept again is %+v", again)
	}
	for range 3 * maxSpares {
		sp.giveBack(new(endpoint.Options))
	}
	if len(sp.list) != maxSpares {
		t.Errorf("%d are kept, want %d", len(sp.list), maxSpares)
	}
}

// A SYN is held without its payload, and without the buffer that lies in.
func TestHeldSYNHasNoPayload(t *testing.T) {
	s := newCrowd(t, 1).shard
	syn := s.holdSYN(&endpoint.Segment{Seq: 7, Flags: endpoint.SYN, Payload: []byte("x"), Options: endpoint.Options{Has: endpoint.HasMSS, MSS: 1400}})
	if syn.Seq != 7 || syn.Flags != endpoint.SYN || syn.Options.MSS != 1400 || syn.Payload != nil || syn.Buffer != nil {
		t.Errorf("held is %+v", syn)
	}
}

// Opening a connection and resetting it allocates what it keeps while it lives,
// and nothing else.
func TestOpeningMakesNoGarbage(t *testing.T) {
	c := newCrowd(t, 10)
	// Packets are made here once, for they are the test's own.
	var pk endpoint.Packet
	give := func(hook endpoint.Hook, tuple endpoint.Tuple, seg endpoint.Segment) {
		pk = endpoint.Packet{Tuple: tuple, Hook: hook, Segment: seg}
		c.shard.HandlePacket(c.now, &pk)
		c.turn()
	}
	// The flow, its endpoints, what controls their congestion, and the ISS to
	// stay clear of, for the same tuple was in use before.
	const kept = 1 + 2 + 2 + 1
	if n := testing.AllocsPerRun(500, func() {
		p := &c.peers[9]
		give(endpoint.Early, p.in, endpoint.Segment{Seq: p.clientSeq, Flags: endpoint.RST})
		opt := endpoint.Options{Has: endpoint.HasMSS | endpoint.HasWindowScale, WindowScale: 7, MSS: 1460}
		give(endpoint.Late, p.in, endpoint.Segment{Seq: 99, Flags: endpoint.SYN, Window: 60000, Options: opt})
		iss := c.dev.seq[endpoint.Server]
		give(endpoint.Late, p.in.Reverse(), endpoint.Segment{Seq: 199, Ack: iss + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 60000, Options: opt})
		iss = c.dev.seq[endpoint.Client]
		give(endpoint.Early, p.in, endpoint.Segment{Seq: 100, Ack: iss + 1, Flags: endpoint.ACK, Window: 60000})
		p.clientSeq = 100
	}); n > kept {
		t.Errorf("a connection's opening makes %v allocations, want at most %d", n, kept)
	}
}
