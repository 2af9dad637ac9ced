package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Bounds of one queue. A queue that is not full takes one piece more, however
// large: what is in it is bounded by betweenOctets and one chunk.
const (
	// betweenOctets and betweenItems are what may wait between two policies.
	betweenOctets = 64 << 10
	betweenItems  = 1 << 10
	// copyBelow is the length in octets under which a piece that is left
	// beside a change is copied.
	copyBelow = 2 << 10
	// keepItems is how long an emptied queue may be and still keep its memory.
	keepItems = 512
)

// item is a run of octets on its way.
type item struct {
	chunk endpoint.Chunk
	due   endpoint.Time // when latency lets it go; 0: not yet decided
	alone bool          // wants a segment of its own
	ours  bool          // its buffer was made by copyIn and has no other holder
	cut   bool          // it is part of what was pushed
}

// queue holds what waits before a policy, or behind the last one.
type queue struct {
	items     []item
	head      int // items before it are gone
	octets    int
	maxOctets int
	maxItems  int
	deep      bool // much may wait in it, for it is before a stage that waits
	over      bool // nothing more will be pushed
	ending    rules.Ending
}

func (q *queue) len() int    { return len(q.items) - q.head }
func (q *queue) empty() bool { return q.head == len(q.items) }

// full tells that nothing more should be pushed for now.
func (q *queue) full() bool { return q.octets >= q.maxOctets || q.len() >= q.maxItems }

// wants tells that a stage that makes one piece at a time may make the next.
func (q *queue) wants() bool { return q.empty() || q.deep && !q.full() }

// at is the i-th item from the front.
func (q *queue) at(i int) *item { return &q.items[q.head+i] }

// finished tells that all octets are gone and none will come.
func (q *queue) finished() bool { return q.over && q.empty() }

func (q *queue) push(it item) {
	n := len(it.chunk.Data)
	if n == 0 || q.over {
		it.chunk.Release()
		return
	}
	if q.head > 32 && q.head*2 > len(q.items) {
		m := copy(q.items, q.items[q.head:])
		clear(q.items[m:])
		q.items, q.head = q.items[:m], 0
	}
	q.octets += n
	q.items = append(q.items, it)
}

// take removes the first item, cut to limit octets; limit is at least 1.
func (q *queue) take(limit int) item {
	it := q.at(0)
	if len(it.chunk.Data) > limit {
		part := *it
		part.chunk = it.chunk.Split(limit)
		part.ours, it.ours = false, false
		part.cut, it.cut = true, true
		q.octets -= limit
		return part
	}
	whole := *it
	*it = item{}
	q.octets -= len(whole.chunk.Data)
	q.head++
	q.rest()
	return whole
}

// drop removes n octets, at most all of the first item.
func (q *queue) drop(n int) {
	it := q.take(n)
	it.chunk.Release()
}

// rest gives memory back once the queue is empty.
func (q *queue) rest() {
	if q.head < len(q.items) {
		return
	}
	q.head = 0
	if cap(q.items) > keepItems {
		q.items = nil
	} else {
		q.items = q.items[:0]
	}
}

// moveTo hands items over as long as there are any and to is not full.
func (q *queue) moveTo(to *queue) {
	for !q.empty() && !to.full() {
		to.push(q.take(q.octets))
	}
}

// pass moves n octets of the first item to another queue beside a change: a
// small part of one is copied, so that it does not pin the buffer it lies in.
// A cut before the change is undone by it.
func (q *queue) pass(pool *endpoint.Pool, n int, to *queue) {
	it := q.take(n)
	if it.cut && n < copyBelow {
		to.copyIn(pool, it.chunk.Data)
		it.chunk.Release()
		return
	}
	it.alone = false
	to.push(it)
}

// copyIn pushes a copy of data, behind an earlier copy if there is room.
func (q *queue) copyIn(pool *endpoint.Pool, data []byte) {
	if len(data) == 0 || q.over {
		return
	}
	if !q.empty() {
		if t := &q.items[len(q.items)-1]; t.ours && !t.alone && t.due == 0 && cap(t.chunk.Data)-len(t.chunk.Data) >= len(data) {
			t.chunk.Data = append(t.chunk.Data, data...)
			q.octets += len(data)
			return
		}
	}
	c := alloc(pool, max(len(data), copyBelow))
	c.Data = append(c.Data, data...)
	q.push(item{chunk: c, ours: true})
}

// give pushes data that never changes and belongs to the plan.
func (q *queue) give(pool *endpoint.Pool, data []byte) {
	if len(data) < copyBelow {
		q.copyIn(pool, data)
		return
	}
	q.push(item{chunk: endpoint.NewChunk(data, nil)})
}

// end says that nothing more will be pushed and how the direction ends.
func (q *queue) end(how rules.Ending) {
	if !q.over {
		q.over, q.ending = true, how
	}
}

// release drops everything.
func (q *queue) release() {
	for i := q.head; i < len(q.items); i++ {
		q.items[i].chunk.Release()
	}
	q.items, q.head, q.octets = nil, 0, 0
}

// alloc makes an empty chunk with room for n octets.
func alloc(pool *endpoint.Pool, n int) endpoint.Chunk {
	if pool == nil || n > endpoint.SlabSize {
		return endpoint.Chunk{Data: make([]byte, 0, n)}
	}
	b := pool.Get(n)
	c := endpoint.NewChunk(b.Bytes()[:0], b)
	b.Release()
	return c
}
