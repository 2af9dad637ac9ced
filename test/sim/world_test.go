package sim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// maxSteps bounds a run: a simulation that goes on for longer is stuck in a
// loop.
const maxSteps = 3_000_000

// world is virtual time: what is to happen, in order.
type world struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	now   endpoint.Time
	queue happenings
	order uint64
	steps int
	trace hash.Hash64
	loud  bool
	bad   []string
}

// happening is something that is to happen at a time; what is due at the
// same time happens in the order in which it was planned.
type happening struct {
	at    endpoint.Time
	order uint64
	do    func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = happening{}
	*h = old[:len(old)-1]
	return x
}

func newWorld(t *testing.T, seed uint64, loud bool) *world {
	return &world{
		t: t, seed: seed, loud: loud,
		rng:   rand.New(rand.NewPCG(seed, 0x746370)),
		now:   endpoint.Time(time.Hour),
		trace: fnv.New64a(),
	}
}

func (w *world) at(t endpoint.Time, do func()) {
	w.order++
	heap.Push(&w.queue, happening{max(t, w.now), w.order, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// run lets everything happen until end, or until nothing is left.
func (w *world) run(end endpoint.Time) {
	for len(w.queue) > 0 && len(w.bad) == 0 {
		if w.queue[0].at > end {
			w.now = end
			return
		}
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
		if w.steps++; w.steps > maxSteps {
			w.fail("still busy after %d steps", w.steps)
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf("at %v: ", w.clock())+fmt.Sprintf(format, args...))
}

// clock is the time since the start.
func (w *world) clock() time.Duration { return w.now.Sub(endpoint.Time(time.Hour)) }

// note adds to the trace.
func (w *world) note(what string, p *packet) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(w.now))
	w.trace.Write(b[:])
	w.trace.Write([]byte(what))
	w.trace.Write(p.tcp)
	if w.loud {
		var s endpoint.Segment
		endpoint.ParseSegment(p.tcp, &s)
		w.t.Logf("%12v %-16s %v > %v %v seq %d:%d ack %d win %d sack %v", w.clock(), what, p.tuple.Source(), p.tuple.Destination(),
			s.Flags, s.Seq, s.End(), s.Ack, s.Window, s.Options.SACK[:s.Options.SACKBlocks])
	}
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between draws a duration.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// pick draws one of several.
func pick[T any](w *world, of ...T) T { return of[w.rng.IntN(len(of))] }
