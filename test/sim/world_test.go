package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"tcpmitm/endpoint"
)

// maxSteps bounds a run: a simulation that goes on for longer is stuck in a
// loop.
const maxSteps = 3_000_000

// world is virtual time: what is to happen, in order.
type world struct {
	seed  uint64
	now   endpoint.Time
	queue []happening // a heap
	order uint64
	steps int
	trace uint64               // what has happened so far, hashed
	log   func(string, ...any) // nil: nobody wants to know
	check func()               // runs after everything that happens
	bad   []string             // what was found wrong
	// endsEarly tells that a rule may send a FIN before the end.
	endsEarly bool
}

// start is the world's clock at the beginning; the time 0 means "never" to
// much code, and a host that has just booted is not what we want to test.
const start = endpoint.Time(time.Hour)

// happening is something that is to happen at a time; what is due at the
// same time happens in the order in which it was planned.
type happening struct {
	at    endpoint.Time
	order uint64
	do    func()
}

func newWorld(seed uint64) *world { return &world{seed: seed, now: start} }

func (h happening) before(g happening) bool {
	return h.at < g.at || h.at == g.at && h.order < g.order
}

// at plans something.
func (w *world) at(t endpoint.Time, do func()) {
	w.order++
	h := happening{max(t, w.now), w.order, do}
	w.queue = append(w.queue, h)
	q := w.queue
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h.before(q[up]) {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = h
}

// next takes the first of the planned things out of the heap.
func (w *world) next() happening {
	q := w.queue
	first, last := q[0], q[len(q)-1]
	q[len(q)-1] = happening{}
	q = q[:len(q)-1]
	w.queue = q
	if len(q) == 0 {
		return first
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(q) {
			break
		}
		if down+1 < len(q) && q[down+1].before(q[down]) {
			down++
		}
		if last.before(q[down]) {
			break
		}
		q[i] = q[down]
		i = down
	}
	q[i] = last
	return first
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// run lets everything happen until end, or until nothing is left or something
// is wrong.
func (w *world) run(end endpoint.Time) {
	for len(w.queue) > 0 && len(w.bad) == 0 {
		if w.queue[0].at > end {
			w.now = end
			return
		}
		h := w.next()
		w.now = h.at
		h.do()
		if w.check != nil {
			w.check()
		}
		if w.steps++; w.steps > maxSteps {
			w.fail("still busy after %d steps", w.steps)
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf("at %v: ", w.clock())+fmt.Sprintf(format, args...))
}

// clock is the time since the start.
func (w *world) clock() time.Duration { return w.now.Sub(start) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// note adds to the trace: where a packet is, and all of it.
func (w *world) note(where string, p *packet) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(w.now))
	h := crc32.Update(uint32(w.trace), castagnoli, b[:])
	h = crc32.Update(h, castagnoli, []byte(where))
	h = crc32.Update(h, castagnoli, p.tcp)
	// The multiplication carries on what 32 bits of a sum cannot hold.
	w.trace = w.trace*0x9e3779b97f4a7c15 + uint64(h)
	if w.log != nil {
		w.log("%12v %-18s %v", w.clock(), where, p)
	}
}

// say adds a line to the log, if somebody reads it.
func (w *world) say(format string, args ...any) {
	if w.log != nil {
		w.log("%12v %s", w.clock(), fmt.Sprintf(format, args...))
	}
}

// draws is one stream of random numbers.
type draws struct{ *rand.Rand }

// stream makes the stream of one concern: what one concern draws does not
// change what another one does, so that a seed keeps most of its meaning when
// a concern learns to draw something new.
func (w *world) stream(concern string) draws {
	h := fnv.New64a()
	h.Write([]byte(concern))
	return draws{rand.New(rand.NewPCG(w.seed, h.Sum64()))}
}

// chance is true with probability p. It draws one number whatever p is.
func (d draws) chance(p float64) bool { return d.Float64() < p }

// between draws a duration from a to b.
func (d draws) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.Int64N(int64(b-a)+1))
}

// pick draws one of several.
func pick[T any](d draws, of ...T) T { return of[d.IntN(len(of))] }
