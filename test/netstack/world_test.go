package netstack

import (
	"container/heap"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tcpmitm/endpoint"
)

// world is virtual time: a heap of things to come, in the order of their
// time and then of their making. It is gVisor's clock too, so that there is
// one source of time and its timers fire between our packets, on the
// goroutine of the test.
type world struct {
	// mu is for gVisor's processor, which arms timers from its own goroutine
	// while the test waits for it.
	mu    sync.Mutex
	now   endpoint.Time
	queue eventHeap
	order int
}

// start is where virtual time begins: after 0, which means "never happened".
const start = endpoint.Time(time.Second)

func newWorld() *world { return &world{now: start} }

type event struct {
	at    endpoint.Time
	order int
	index int // in the heap, -1 when out of it
	do    func()
}

// at plans do; a time in the past means now.
func (w *world) at(t endpoint.Time, do func()) *event {
	e := &event{do: do, index: -1}
	w.plan(e, t)
	return e
}

func (w *world) plan(e *event, t endpoint.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.index >= 0 {
		heap.Remove(&w.queue, e.index)
	}
	w.order++
	e.at, e.order = max(t, w.now), w.order
	heap.Push(&w.queue, e)
}

// cancel tells whether e was still to come.
func (w *world) cancel(e *event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.index < 0 {
		return false
	}
	heap.Remove(&w.queue, e.index)
	return true
}

// step lets the next thing happen, if it comes before the deadline.
func (w *world) step(deadline endpoint.Time) bool {
	w.mu.Lock()
	if len(w.queue) == 0 || w.queue[0].at > deadline {
		w.mu.Unlock()
		return false
	}
	e := heap.Pop(&w.queue).(*event)
	w.now = e.at
	w.mu.Unlock()
	e.do()
	return true
}

// The clock of gVisor.

func (w *world) time() endpoint.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) Now() time.Time { return time.Unix(1_700_000_000, int64(w.time())) }

func (w *world) NowMonotonic() tcpip.MonotonicTime {
	var zero tcpip.MonotonicTime
	return zero.Add(time.Duration(w.time()))
}

func (w *world) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{w: w, e: &event{do: f, index: -1}}
	t.Reset(d)
	return t
}

type timer struct {
	w *world
	e *event
}

func (t *timer) Stop() bool            { return t.w.cancel(t.e) }
func (t *timer) Reset(d time.Duration) { t.w.plan(t.e, t.w.time().Add(d)) }

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *eventHeap) Push(x any) {
	e := x.(*event)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *eventHeap) Pop() any {
	o := *h
	e := o[len(o)-1]
	o[len(o)-1] = nil
	*h = o[:len(o)-1]
	e.index = -1
	return e
}
