package faults

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func TestWhatIsHeldIsBounded(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Any, By: time.Hour})
	b.open(server)
	b.stage.Close()
	for range MaxHeldSegments {
		b.give(server, true, ack, 1, 0)
	}
	b.want("held")
	b.give(server, true, ack, 1, 1)
	b.want("one too many", "+0s server out 1:2 .")
	if b.w.Full != 1 || b.w.Segments != MaxHeldSegments {
		t.Errorf("%d held, %d not", b.w.Segments, b.w.Full)
	}
	b.stage.Close()
	b.wantEmpty()

	b = newBench(t, rules.Fault{Leg: rules.Server, On: rules.Any, By: time.Hour})
	b.open(server)
	for at := 0; at < MaxHeldOctets+1<<20; at += 1 << 15 {
		b.stage.Handle(b.now, server, true, &endpoint.Segment{Seq: ours, Flags: ack, Payload: octets(-1, 1<<15)}, endpoint.IPHeader{}, b)
	}
	if b.w.Octets != MaxHeldOctets || b.w.Full != 1<<20>>15 {
		t.Errorf("%d octets held, %d segments not", b.w.Octets, b.w.Full)
	}
	// Another connection has room of its own, until the shard's is full.
	other := NewStage(b.stage.p, b.w, 2)
	for range 1 << 12 {
		other.Handle(b.now, server, true, &endpoint.Segment{Seq: ours, Flags: ack, Payload: octets(-1, 1<<10)}, endpoint.IPHeader{}, b)
	}
	if other.Held() != 1<<12 {
		t.Errorf("the other one holds %d", other.Held())
	}
	b.w.Octets = maxWireOctets
	other.Handle(b.now, server, true, &endpoint.Segment{Seq: ours, Flags: ack, Payload: octets(-1, 1)}, endpoint.IPHeader{}, b)
	if other.Held() != 1<<12 {
		t.Error("more is held than a shard may")
	}
	b.w.Octets = b.stage.octets + other.octets
	other.Close()
	b.stage.Close()
	b.wantEmpty()
}

// The wire does not know that a connection is over.
func TestFinishLetsOnlyOutWhatIsUnderWay(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Any, By: 10 * ms}, rules.Fault{Leg: rules.Client, In: true, On: rules.Any, By: 10 * ms},
		rules.Fault{Leg: rules.Client, On: rules.Any, Do: rules.Hold, Until: rules.Closing})
	b.open(server)
	b.after(10 * ms)
	b.lines = nil
	for i := range 20 {
		b.give(server, true, ack, 1+i, 1)
		b.give(client, false, ack, 1+i, 1)
		b.give(client, true, ack, 1+i, 1)
	}
	if b.stage.Held() != 60 {
		t.Fatalf("%d held", b.stage.Held())
	}
	b.stage.Finish()
	if b.stage.Held() != 20 {
		t.Errorf("%d held, want what leaves", b.stage.Held())
	}
	b.give(client, false, ack, 21, 1)
	b.give(client, true, ack, 21, 1)
	b.want("nobody is left to wait for", "+10ms client in 21:22 .", "+10ms client out 21:22 .")
	b.after(10 * ms)
	if len(b.lines) != 20 || b.lines[0] != "+20ms server out 1:2 ." || b.lines[19] != "+20ms server out 20:21 ." {
		t.Errorf("%q", b.lines)
	}
	b.wantEmpty()
}

// bin is a host that keeps nothing.
type bin struct{ segments, octets int }

func (b *bin) Pass(_ endpoint.Time, _ endpoint.Leg, _ bool, seg *endpoint.Segment, _ endpoint.IPHeader, _ string) {
	b.segments++
	b.octets += seg.PayloadLen()
}
func (*bin) Fired(endpoint.Time, *Event) {}

// TestNothingIsAllocatedForASegment: in steady state a stage costs no
// allocation, whatever it does to super-segments; not even if it holds them.
func TestNothingIsAllocatedForASegment(t *testing.T) {
	for name, f := range map[string]rules.Fault{
		"drop":      data(rules.Lose, rules.Which{Every: 7}),
		"delay":     {Leg: rules.Server, On: rules.Data, By: 3 * ms, Jitter: ms},
		"duplicate": {Leg: rules.Server, On: rules.Data, Do: rules.Duplicate, Copies: 2, Which: rules.Which{Probability: 0.1}},
		"reorder":   {Leg: rules.Server, On: rules.Data, Do: rules.Reorder, Behind: 3, Which: rules.Which{Every: 10}},
		"corrupt":   data(rules.Corrupt, rules.Which{Probability: 0.1}),
		"split":     {Leg: rules.Server, On: rules.Data, Do: rules.Split, Size: 10},
		"rewrite":   {Leg: rules.Server, On: rules.Data, Do: rules.Rewrite, Header: rules.Header{TTL: rules.Some(uint8(1))}},
		"no match":  {Leg: rules.Server, On: rules.RST, Do: rules.Lose},
	} {
		b := newBench(t, f)
		b.open(server)
		host := &bin{}
		seg := &endpoint.Segment{Seq: ours + 1, Ack: theirs + 1, Flags: ack | psh, Window: 1000, MSS: mss}
		for at := 0; at < 3000; at += 250 {
			seg.Pieces = append(seg.Pieces, octets(at, 250))
		}
		now := b.now
		round := func() {
			now = now.Add(ms)
			b.stage.Handle(now, server, true, seg, endpoint.IPHeader{}, host)
			b.stage.Release(now, host)
			seg.Seq = seg.Seq.Plus(3000)
		}
		for range 100 {
			round()
		}
		if n := testing.AllocsPerRun(200, round); n > 0 {
			t.Errorf("%s: %.2f allocations for a segment", name, n)
		}
		if host.segments == 0 {
			t.Errorf("%s: nothing came out", name)
		}
		b.stage.Close()
		b.wantEmpty()
	}
}

func BenchmarkSuperSegment(b *testing.B) {
	for name, list := range map[string][]rules.Fault{
		"no match":        {{Leg: rules.Server, On: rules.RST, Do: rules.Lose}},
		"drop every 1000": {{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Every: 1000}}},
		"drop 1%":         {{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Probability: 0.01}}},
		"delay":           {{Leg: rules.Server, On: rules.Data, By: ms}},
	} {
		b.Run(name, func(b *testing.B) {
			stage := NewStage(Compile(&rules.Rule{Name: "r", Faults: list}), &Wire{Pool: endpoint.NewPool(0)}, 1)
			host := &bin{}
			seg := &endpoint.Segment{Seq: ours + 1, Ack: theirs + 1, Flags: ack, Window: 1000, MSS: 1460}
			for range 4 {
				seg.Pieces = append(seg.Pieces, make([]byte, 16000))
			}
			b.SetBytes(64000)
			b.ReportAllocs()
			now := endpoint.Time(1)
			for b.Loop() {
				now = now.Add(ms)
				stage.Handle(now, server, true, seg, endpoint.IPHeader{}, host)
				stage.Release(now, host)
				seg.Seq = seg.Seq.Plus(64000)
			}
		})
	}
}
