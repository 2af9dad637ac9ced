package faults

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// link joins two real endpoints: ours stands behind a stage, as the server leg
// does, theirs is the peer. What a segment meets on the way is the stage, and
// latency.
type link struct {
	now       endpoint.Time
	a, b      *endpoint.Endpoint // ours, theirs
	stage     *Stage
	w         *Wire
	wire      [2][]flying // towards b, towards a; in the order of sending
	journal   []string
	corrupted int
	passed    int
	moments   [2]bool
	sum       [2][32]byte
	got       [2][]byte
	sent      [2][]byte
	at        [2]int // written of sent
	wake      endpoint.Time
	closed    [2]bool
	reads     int // octets that a user reads at once
}

type flying struct {
	at  endpoint.Time
	tcp []byte
}

const latency = 5 * ms

func (k *link) Pass(now endpoint.Time, _ endpoint.Leg, out bool, seg *endpoint.Segment, head endpoint.IPHeader, _ string) {
	k.passed++
	if !out {
		k.a.HandleSegment(now, seg)
		return
	}
	if head.Corrupt != 0 {
		k.corrupted++ // and its receiver finds the checksum wrong
		return
	}
	k.wire[0] = append(k.wire[0], flying{now.Add(latency), raw(seg)})
}

func (k *link) Fired(now endpoint.Time, e *Event) {
	k.journal = append(k.journal, fmt.Sprint(now, e.Text, e.Leg, e.Out, e.By, e.N, e.Seg.Seq, e.Seg.Ack, e.Seg.Flags, e.Seg.PayloadLen()))
}

// raw is a segment as it is on the wire; it may be a super-segment.
func raw(seg *endpoint.Segment) []byte {
	b := endpoint.AppendHeader(nil, 1, 2, seg)
	b = append(b, seg.Payload...)
	for _, p := range seg.Pieces {
		b = append(b, p...)
	}
	return b
}

func newLink(t *testing.T, seed uint64, octets [2]int, list []rules.Fault) *link {
	t.Helper()
	r := &rules.Rule{Name: "r", Seed: seed, Faults: list}
	k := &link{now: endpoint.Time(time.Hour), w: &Wire{Pool: endpoint.NewPool(0)}, reads: 1 << 20}
	k.stage = NewStage(Compile(r), k.w, 1)
	cfg := endpoint.DefaultConfig()
	cfg.Pool = endpoint.NewPool(0)
	cfg.ReceiveBuffer, cfg.SendBuffer = 1<<18, 1<<18
	o := endpoint.Open{ISS: 0xffffff00, MSS: 1460, MTU: 1500, WindowScale: 3, SACK: true, Timestamps: true}
	k.a = endpoint.NewActive(k.now, &cfg, o)
	o.ISS = 12345
	k.b = endpoint.NewPassive(&cfg, o)
	for d := range k.sent {
		k.sent[d] = make([]byte, octets[d])
		x := seed*2 + uint64(d)
		for i := range k.sent[d] {
			x = x*6364136223846793005 + 1442695040888963407
			k.sent[d][i] = byte(x >> 56)
		}
		k.sum[d] = sha256.Sum256(k.sent[d])
	}
	return k
}

// use lets the user of an endpoint write and read what it can.
func (k *link) use(d int, e *endpoint.Endpoint) {
	e.TakeEvents()
	if e.State() >= endpoint.Established {
		k.moments[d] = true
	}
	for n := k.reads; n > 0; {
		c, ok := e.Read(k.now, n)
		if !ok {
			break
		}
		k.got[1-d] = append(k.got[1-d], c.Data...)
		n -= len(c.Data)
		c.Release()
	}
	if !k.moments[d] {
		return
	}
	for n := min(e.WriteSpace(), len(k.sent[d])-k.at[d]); n > 0 && e.State() != endpoint.Closed; n = min(e.WriteSpace(), len(k.sent[d])-k.at[d]) {
		n = min(n, 7000)
		e.Write(k.now, endpoint.NewChunk(k.sent[d][k.at[d]:k.at[d]+n], nil))
		k.at[d] += n
	}
	// Who has nothing to say waits for the other.
	done := k.at[d] == len(k.sent[d]) && (len(k.sent[d]) > 0 || len(k.got[1-d]) == len(k.sent[1-d]))
	if done && !k.closed[d] && e.State() >= endpoint.Established {
		e.CloseWrite(k.now)
		k.closed[d] = true
	}
}

// step lets one thing happen, and tells whether anything can happen any more.
func (k *link) step() bool {
	var seg endpoint.Segment
	k.use(0, k.a)
	k.use(1, k.b)
	for k.a.PollSegment(k.now, &seg) {
		k.stage.Handle(k.now, server, true, &seg, endpoint.IPHeader{}, k)
	}
	for k.b.PollSegment(k.now, &seg) {
		k.wire[1] = append(k.wire[1], flying{k.now.Add(latency), raw(&seg)})
	}
	if st := k.a.State(); st >= endpoint.Established {
		k.stage.Reach(k.now, server, rules.Established, k)
		if i := k.a.Info(); st > endpoint.Established && i.Unsent == 0 {
			k.stage.Reach(k.now, server, rules.Closing, k)
		}
	}
	if k.a.Readable()+k.b.Readable() > 0 {
		k.wake = k.now.Add(ms)
	} else {
		k.wake = endpoint.Never
	}
	next := min(k.wake, k.a.NextTimeout(), k.b.NextTimeout(), k.stage.Next())
	for _, w := range k.wire {
		if len(w) > 0 {
			next = min(next, w[0].at)
		}
	}
	if next == endpoint.Never {
		return false
	}
	k.now = max(k.now, next)
	for d := range k.wire {
		for len(k.wire[d]) > 0 && k.wire[d][0].at <= k.now {
			f := k.wire[d][0]
			k.wire[d] = k.wire[d][1:]
			var in endpoint.Segment
			if _, _, why := endpoint.ParseSegment(f.tcp, &in); why != endpoint.ReasonNone {
				panic(why.String())
			}
			if d == 0 {
				k.b.HandleSegment(k.now, &in)
			} else {
				k.stage.Handle(k.now, server, false, &in, endpoint.IPHeader{}, k)
			}
		}
	}
	k.stage.Release(k.now, k)
	if k.a.NextTimeout() <= k.now {
		k.a.HandleTimeout(k.now)
	}
	if k.b.NextTimeout() <= k.now {
		k.b.HandleTimeout(k.now)
	}
	return true
}

// run carries everything over and closes, and returns a hash of the journal.
func (k *link) run(t *testing.T, name string) uint64 {
	t.Helper()
	for n := 0; k.step(); n++ {
		if n == 200000 {
			t.Fatalf("%s: it never ends: states %v and %v, %d and %d octets got", name, k.a.State(), k.b.State(), len(k.got[0]), len(k.got[1]))
		}
	}
	for d := range k.got {
		if sha256.Sum256(k.got[d]) != k.sum[d] {
			t.Errorf("%s: %d octets came through, %d were sent; they differ", name, len(k.got[d]), len(k.sent[d]))
		}
	}
	if k.a.State() != endpoint.Closed || k.b.State() != endpoint.Closed {
		t.Errorf("%s: states at the end %v and %v", name, k.a.State(), k.b.State())
	}
	k.stage.Close()
	if k.w.Segments != 0 || k.w.Octets != 0 || k.w.Pool.InUse() != 0 || k.w.lent != 0 || len(k.w.pieces) != 0 {
		t.Errorf("%s: left behind: %d segments, %d octets, %d in buffers", name, k.w.Segments, k.w.Octets, k.w.Pool.InUse())
	}
	h := fnv.New64a()
	for _, line := range k.journal {
		fmt.Fprintln(h, line)
	}
	return h.Sum64()
}

// bothWays is a fault on what leaves and on what arrives.
func bothWays(f rules.Fault) []rules.Fault {
	f.Leg = rules.Server
	in := f
	in.In = true
	return []rules.Fault{f, in}
}

var some = rules.Which{Probability: 0.05}

// repairable are faults after which every octet arrives all the same.
var repairable = map[string][]rules.Fault{
	"drop data":      bothWays(rules.Fault{On: rules.Data, Do: rules.Lose, Which: some}),
	"drop any":       bothWays(rules.Fault{On: rules.Any, Do: rules.Lose, Which: some}),
	"drop first":     bothWays(rules.Fault{On: rules.Any, Do: rules.Lose, Which: rules.Which{First: 2}}),
	"drop FINs":      bothWays(rules.Fault{On: rules.FIN, Do: rules.Lose, Which: rules.Which{First: 3}}),
	"drop last ACKs": bothWays(rules.Fault{On: rules.LastACK, Do: rules.Lose, Which: rules.Which{First: 2}}),
	"drop third":     bothWays(rules.Fault{On: rules.HandshakeACK, Do: rules.Lose, Which: rules.Which{First: 2}}),
	"drop ACKs":      bothWays(rules.Fault{On: rules.ACK, Do: rules.Lose, Which: rules.Which{Probability: 0.5}}),
	"drop updates":   bothWays(rules.Fault{On: rules.WindowUpdate, Do: rules.Lose, Which: rules.Which{Probability: 0.5}}),
	"drop bytes":     bothWays(rules.Fault{On: rules.Data, Do: rules.Lose, Which: rules.Which{First: 4, Bytes: rules.Octets{From: 50000, To: 60000}}}),
	"delay":          bothWays(rules.Fault{On: rules.Any, By: 30 * ms}),
	"jitter":         bothWays(rules.Fault{On: rules.Any, By: 10 * ms, Jitter: 10 * ms}),
	"delay some":     bothWays(rules.Fault{On: rules.Data, By: 20 * ms, Which: some}),
	"duplicate":      bothWays(rules.Fault{On: rules.Any, Do: rules.Duplicate, Copies: 3, Which: rules.Which{Probability: 0.2}}),
	"reorder":        bothWays(rules.Fault{On: rules.Data, Do: rules.Reorder, Behind: 3, Which: rules.Which{Every: 7}}),
	"reorder all":    bothWays(rules.Fault{On: rules.Any, Do: rules.Reorder, Behind: 1}),
	"corrupt":        bothWays(rules.Fault{On: rules.Any, Do: rules.Corrupt, Which: some}),
	"hold":           bothWays(rules.Fault{On: rules.Data, Do: rules.Hold, Until: rules.Closing, Which: rules.Which{Nth: 50}}),
	"split":          bothWays(rules.Fault{On: rules.Data, Do: rules.Split, Size: 100}),
	"split by one":   bothWays(rules.Fault{On: rules.Data, Do: rules.Split, Size: 1, Which: rules.Which{First: 10}}),
	"rewrite":        bothWays(rules.Fault{On: rules.Data, Do: rules.Rewrite, Header: rules.Header{TTL: rules.Some(uint8(3)), Urgent: rules.Some(uint16(7))}}),
	"window":         bothWays(rules.Fault{On: rules.Any, Do: rules.Rewrite, Header: rules.Header{Window: rules.Some(uint16(900))}, Which: some}),
	"all at once": append(append(append(append(bothWays(rules.Fault{On: rules.Any, Do: rules.Duplicate, Copies: 1, Which: some}),
		bothWays(rules.Fault{On: rules.Data, Do: rules.Split, Size: 333, Which: some})...),
		bothWays(rules.Fault{On: rules.Data, Do: rules.Reorder, Behind: 2, Which: some})...),
		bothWays(rules.Fault{On: rules.Any, By: 5 * ms, Jitter: 5 * ms, Which: rules.Which{Probability: 0.3}})...),
		bothWays(rules.Fault{On: rules.Any, Do: rules.Lose, Which: rules.Which{Probability: 0.02}})...),
}

// TestOctetsNeverChange: whatever the stage does to segments, two real
// endpoints carry all octets both ways and end in order. The same seed gives
// the same journal, another seed another one.
func TestOctetsNeverChange(t *testing.T) {
	for name, list := range repairable {
		t.Run(name, func(t *testing.T) {
			octets, reads := [2]int{200000, 200000}, 1<<20
			if list[0].On == rules.ACK || list[0].On == rules.WindowUpdate || list[0].On == rules.HandshakeACK {
				// Where both sides send, everything rides on data.
				octets, reads = [2]int{0, 2000000}, 20000
			}
			make := func(seed uint64) *link {
				k := newLink(t, seed, octets, list)
				k.reads = reads
				return k
			}
			one := make(1)
			h := one.run(t, name)
			if len(one.journal) == 0 {
				t.Errorf("no fault fired, of %d segments", one.passed)
			}
			again := make(1)
			if again.run(t, name) != h {
				t.Error("the same seed and traffic gave another journal")
			}
			if p := list[0].Probability; p > 0 && p < 1 {
				if make(2).run(t, name) == h {
					t.Error("another seed gave the same journal")
				}
			}
		})
	}
}
