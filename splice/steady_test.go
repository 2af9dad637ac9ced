package splice

import (
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// sink is a device that keeps nothing but the last sequence numbers.
type sink struct {
	fakeDevice
	seq [2]endpoint.Seq
}

func (d *sink) Send(l endpoint.Leg, _ *endpoint.Tuple, _ Header, s *endpoint.Segment) error {
	d.seq[l] = s.Seq
	return nil
}

// TestNothingIsAllocatedForASegment: a relayed connection in steady state
// costs no allocation for data from one side and the other's ACK of it.
func TestNothingIsAllocatedForASegment(t *testing.T) {
	d := &sink{}
	d.now = 1e12
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(0)
	s := NewShard(d, Options{Endpoint: cfg})
	in := endpoint.NewTuple(addrPort("10.1.0.1:4000"), addrPort("10.2.0.2:80"))
	now := d.now
	give := func(hook endpoint.Hook, t endpoint.Tuple, seg endpoint.Segment) {
		s.HandlePacket(now, &endpoint.Packet{Tuple: t, Hook: hook, Segment: seg})
		s.Transmit(now)
		s.HandleTimeouts(now)
		s.Transmit(now)
	}
	const ws = endpoint.HasWindowScale | endpoint.HasMSS
	opt := endpoint.Options{Has: ws, WindowScale: 7, MSS: 1400}
	give(endpoint.Late, in, endpoint.Segment{Seq: 99, Flags: endpoint.SYN, Window: 60000, Options: opt})
	serverISS := d.seq[endpoint.Server]
	give(endpoint.Late, in.Reverse(), endpoint.Segment{Seq: 199, Ack: serverISS + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 60000, Options: opt})
	clientISS := d.seq[endpoint.Client]
	give(endpoint.Early, in, endpoint.Segment{Seq: 100, Ack: clientISS + 1, Flags: endpoint.ACK, Window: 60000})

	slab := cfg.Pool.Get(endpoint.SlabSize)
	data := endpoint.Packet{Tuple: in, Hook: endpoint.Early, Segment: endpoint.Segment{
		Seq: 100, Ack: clientISS + 1, Flags: endpoint.ACK | endpoint.PSH, Window: 60000, Buffer: slab,
	}}
	ack := endpoint.Packet{Tuple: in.Reverse(), Segment: endpoint.Segment{
		Seq: 200, Ack: serverISS + 1, Flags: endpoint.ACK, Window: 60000}, Hook: endpoint.Late}
	// At first no more than what the initial window takes.
	moved, size := 0, 10000
	round := func() {
		data.Payload = slab.Bytes()[:size]
		now += 1e6
		s.HandlePacket(now, &data)
		s.Transmit(now)
		s.HandleTimeouts(now)
		s.Transmit(now)
		data.Seq = data.Seq.Plus(size)
		ack.Ack = ack.Ack.Plus(size)
		moved += size
		s.HandlePacket(now, &ack)
		s.Transmit(now)
		s.HandleTimeouts(now)
		s.Transmit(now)
	}
	for range 20 {
		round()
	}
	size = 20000
	for range 200 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n > 0 {
		t.Errorf("%.2f allocations for a segment and its ACK", n)
	}
	if got := s.Connections(now, nil, 1)[0].Legs[endpoint.Server]; got.Delivered != uint64(moved) {
		t.Errorf("%d of %d octets delivered: the round is not what it claims to be", got.Delivered, moved)
	}
}

// TestFaultsAllocateNothing: nor does one whose rule loses a segment now and
// then, on both legs and in both directions.
func TestFaultsAllocateNothing(t *testing.T) {
	d := &sink{}
	d.now = 1e12
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(0)
	s := NewShard(d, Options{Endpoint: cfg, Rules: faulty(
		rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Duplicate, Copies: 1, Which: rules.Which{Every: 3}},
		rules.Fault{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Duplicate, Copies: 1, Which: rules.Which{Every: 5}},
		rules.Fault{Leg: rules.Client, On: rules.ACK, Do: rules.Lose, Which: rules.Which{Every: 2}})})
	in := endpoint.NewTuple(addrPort("10.1.0.1:4000"), addrPort("10.2.0.2:80"))
	now := d.now
	give := func(hook endpoint.Hook, t endpoint.Tuple, seg endpoint.Segment) {
		s.HandlePacket(now, &endpoint.Packet{Tuple: t, Hook: hook, Segment: seg})
		s.Transmit(now)
	}
	opt := endpoint.Options{Has: endpoint.HasMSS, MSS: 1400}
	give(endpoint.Late, in, endpoint.Segment{Seq: 99, Flags: endpoint.SYN, Window: 60000, Options: opt})
	serverISS := d.seq[endpoint.Server]
	give(endpoint.Late, in.Reverse(), endpoint.Segment{Seq: 199, Ack: serverISS + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 60000, Options: opt})
	clientISS := d.seq[endpoint.Client]
	give(endpoint.Early, in, endpoint.Segment{Seq: 100, Ack: clientISS + 1, Flags: endpoint.ACK, Window: 60000})
	slab := cfg.Pool.Get(endpoint.SlabSize)
	data := endpoint.Packet{Tuple: in, Hook: endpoint.Early, Segment: endpoint.Segment{
		Seq: 100, Ack: clientISS + 1, Flags: endpoint.ACK | endpoint.PSH, Window: 60000, Buffer: slab}}
	ack := endpoint.Packet{Tuple: in.Reverse(), Hook: endpoint.Late, Segment: endpoint.Segment{
		Seq: 200, Ack: serverISS + 1, Flags: endpoint.ACK, Window: 60000}}
	const size = 9000
	round := func() {
		data.Payload = slab.Bytes()[:size]
		now += 1e6
		s.HandlePacket(now, &data)
		s.Transmit(now)
		s.HandleTimeouts(now)
		s.Transmit(now)
		data.Seq = data.Seq.Plus(size)
		ack.Ack = ack.Ack.Plus(size)
		s.HandlePacket(now, &ack)
		s.Transmit(now)
	}
	for range 300 {
		round()
	}
	if n := testing.AllocsPerRun(300, round); n > 0 {
		t.Errorf("%.2f allocations for a segment and its ACK", n)
	}
	if s.counters.Faults < 1000 {
		t.Errorf("only %d faults fired", s.counters.Faults)
	}
}
