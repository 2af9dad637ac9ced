package endpoint

// Bounds of what waits for something missing before it. What comes in more
// pieces is dropped and will be sent again.
const (
	// maxSACKBlocks is what the option holds at most (RFC 2018, section 3).
	maxSACKBlocks = 4
	// maxHoles bounds the runs that lie apart.
	maxHoles = 1024
	// maxWaiting bounds the chunks in all of them: 4 MiB in segments of the
	// default MSS.
	maxWaiting = 8192
	// leastWaiting is the mean length in octets that more chunks than maxHoles
	// must have, for each may hold a buffer larger than itself.
	leastWaiting = 256
)

// run is a stretch of octets that came out of order, without a gap, in chunks.
type run struct {
	Range
	chunks []Chunk
	stamp  uint32 // grows with each arrival, so that the latest are reported first
}

// receiveQueue holds what has arrived and not yet been read: in order, and
// out of order (SHLD-31).
type receiveQueue struct {
	chunks []Chunk // in order, ready for the user
	first  [1]Chunk
	head   int
	ready  int // octets in chunks

	ooo     []run  // by sequence number, a gap between any two
	oooLen  int    // octets in them
	waiting int    // chunks in them
	stamp   uint32 // of the run that octets came to last
	fin     Seq    // sequence number of a FIN that came out of order
	haveFIN bool
	dsack   Range // duplicate to report next (RFC 2883)
}

// keep makes a chunk of data that may outlive the call: by holding the buffer
// it arrived in, or by copying it if that buffer is mostly empty or not ours.
func keep(pool *Pool, data []byte, b *Buffer) Chunk {
	if b != nil && (len(data) >= copyBelow || len(b.data) <= 2*len(data)) {
		return NewChunk(data, b)
	}
	if pool == nil {
		return Chunk{Data: append([]byte(nil), data...)}
	}
	var c Chunk
	if len(data) > SlabSize {
		return Chunk{Data: append([]byte(nil), data...)}
	}
	c.buf = pool.Get(len(data))
	c.Data = c.buf.data[:copy(c.buf.data, data)]
	return c
}

// add takes in-order octets that lie in b or, if b is nil, anywhere.
func (q *receiveQueue) add(pool *Pool, data []byte, b *Buffer) {
	if n := len(q.chunks); n > q.head && q.chunks[n-1].join(data) {
		q.ready += len(data)
		return
	}
	q.push(keep(pool, data, b))
}

func (q *receiveQueue) push(c Chunk) {
	if q.chunks == nil {
		q.chunks = q.first[:0]
	}
	if q.head > 32 && q.head*2 > len(q.chunks) {
		n := copy(q.chunks, q.chunks[q.head:])
		clear(q.chunks[n:])
		q.chunks, q.head = q.chunks[:n], 0
	}
	q.ready += len(c.Data)
	q.chunks = append(q.chunks, c)
}

// pop hands out the first chunk, cut to limit octets.
func (q *receiveQueue) pop(limit int) (Chunk, bool) {
	if q.head == len(q.chunks) || limit <= 0 {
		return Chunk{}, false
	}
	c := &q.chunks[q.head]
	if len(c.Data) > limit {
		part := c.Split(limit)
		q.ready -= limit
		return part, true
	}
	whole := *c
	*c = Chunk{}
	q.ready -= len(whole.Data)
	q.head++
	if q.head == len(q.chunks) {
		q.head = 0
		if cap(q.chunks) > 64 {
			q.chunks = nil
		} else {
			q.chunks = q.chunks[:0]
		}
	}
	return whole, true
}

// insert files octets seq onward that came out of order, without what is
// there already. It tells whether anything new was kept, and reports the
// first duplicate run as a D-SACK.
func (q *receiveQueue) insert(pool *Pool, seq Seq, data []byte, b *Buffer) bool {
	kept := false
	i := q.find(seq)
	for len(data) > 0 {
		n := len(data)
		switch {
		case i < len(q.ooo) && q.ooo[i].Start.AtMost(seq) && seq.Before(q.ooo[i].End):
			n = min(n, seq.To(q.ooo[i].End))
			if q.dsack.Len() == 0 {
				q.dsack = Range{seq, seq.Plus(n)}
			}
		case i < len(q.ooo) && q.ooo[i].End == seq:
			if i+1 < len(q.ooo) {
				n = min(n, seq.To(q.ooo[i+1].Start))
			}
			if !q.extend(pool, i, data[:n], b) {
				return kept
			}
			kept = true
		default:
			if i < len(q.ooo) {
				n = min(n, seq.To(q.ooo[i].Start))
			}
			if !q.begin(pool, i, seq, data[:n], b) {
				return kept
			}
			kept = true
		}
		data, seq = data[n:], seq.Plus(n)
	}
	return kept
}

// find returns the index of the first run that ends at or after seq.
func (q *receiveQueue) find(seq Seq) int {
	lo, hi := 0, len(q.ooo)
	for lo < hi {
		mid := (lo + hi) / 2
		if q.ooo[mid].End.Before(seq) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// crowded tells that no further chunk may wait.
func (q *receiveQueue) crowded() bool {
	return q.waiting >= maxWaiting || q.waiting >= maxHoles && q.waiting*leastWaiting > q.oooLen
}

// extend puts data behind run i, and joins it with the next if they meet.
func (q *receiveQueue) extend(pool *Pool, i int, data []byte, b *Buffer) bool {
	r := &q.ooo[i]
	if last := &r.chunks[len(r.chunks)-1]; !last.join(data) {
		if q.crowded() {
			return false
		}
		r.chunks = append(r.chunks, keep(pool, data, b))
		q.waiting++
	}
	r.End = r.End.Plus(len(data))
	q.oooLen += len(data)
	if i+1 < len(q.ooo) && q.ooo[i+1].Start == r.End {
		r.End = q.ooo[i+1].End
		r.chunks = append(r.chunks, q.ooo[i+1].chunks...)
		q.ooo = append(q.ooo[:i+1], q.ooo[i+2:]...)
		clear(q.ooo[len(q.ooo) : len(q.ooo)+1])
	}
	return true
}

// begin puts data, which touches nothing before it, in front of run i, as a
// part of it if they meet.
func (q *receiveQueue) begin(pool *Pool, i int, seq Seq, data []byte, b *Buffer) bool {
	meets := i < len(q.ooo) && q.ooo[i].Start == seq.Plus(len(data))
	if q.crowded() || !meets && len(q.ooo) >= maxHoles {
		return false
	}
	c := keep(pool, data, b)
	q.waiting++
	q.oooLen += len(data)
	if meets {
		r := &q.ooo[i]
		r.Start = seq
		r.chunks = append(r.chunks, Chunk{})
		copy(r.chunks[1:], r.chunks)
		r.chunks[0] = c
		return true
	}
	q.ooo = append(q.ooo, run{})
	copy(q.ooo[i+1:], q.ooo[i:])
	q.ooo[i] = run{Range: Range{seq, seq.Plus(len(data))}, chunks: []Chunk{c}}
	return true
}

// drain moves what has become in order, from nxt on, to the ready octets and
// returns the new rcv.nxt.
func (q *receiveQueue) drain(nxt Seq) Seq {
	n := 0
	for n < len(q.ooo) && q.ooo[n].Start.AtMost(nxt) {
		r := &q.ooo[n]
		n++
		q.oooLen -= r.Len()
		q.waiting -= len(r.chunks)
		at := r.Start
		for i := range r.chunks {
			c := r.chunks[i]
			end := at.Plus(len(c.Data))
			if end.AtMost(nxt) {
				c.Release()
			} else {
				if at.Before(nxt) {
					c.Data = c.Data[at.To(nxt):]
				}
				q.push(c)
			}
			at = end
		}
		nxt = maxSeq(nxt, r.End)
	}
	if n > 0 {
		m := copy(q.ooo, q.ooo[n:])
		clear(q.ooo[m:])
		q.ooo = q.ooo[:m]
		if m == 0 {
			q.ooo = nil
		}
	}
	return nxt
}

// sack writes the blocks to report, the most recent first (RFC 2018, section
// 4), a D-SACK before all (RFC 2883, section 4), limit at most.
func (q *receiveQueue) sack(o *Options, limit int) {
	add := func(r Range) {
		if int(o.SACKBlocks) < limit {
			o.SACK[o.SACKBlocks] = r
			o.SACKBlocks++
		}
	}
	if q.dsack.Len() > 0 {
		add(q.dsack)
		q.dsack = Range{}
	}
	if len(q.ooo) == 0 {
		return
	}
	// The runs that octets came to last, latest first.
	var latest [maxSACKBlocks]int
	n := 0
	for i := range q.ooo {
		at := n
		for at > 0 && q.ooo[i].stamp-q.ooo[latest[at-1]].stamp < 1<<31 {
			at--
		}
		if at == len(latest) {
			continue
		}
		n = min(n+1, len(latest))
		copy(latest[at+1:n], latest[at:])
		latest[at] = i
	}
	for _, i := range latest[:n] {
		add(q.ooo[i].Range)
	}
}

// noteRecent puts the run that octets at seq have come to before all others
// that are to be reported. So each block is told of in several ACKs, and an
// ACK that is lost does no harm (RFC 2018, section 4).
func (q *receiveQueue) noteRecent(seq Seq) {
	if i := q.find(seq + 1); i < len(q.ooo) && q.ooo[i].Start.AtMost(seq) {
		q.stamp++
		q.ooo[i].stamp = q.stamp
	}
}

// beyond tells whether octets wait that lie at or after seq.
func (q *receiveQueue) beyond(seq Seq) bool {
	return len(q.ooo) > 0 && q.ooo[len(q.ooo)-1].End.After(seq)
}

func (q *receiveQueue) releaseReassembly() {
	for i := range q.ooo {
		for j := range q.ooo[i].chunks {
			q.ooo[i].chunks[j].Release()
		}
	}
	q.ooo, q.oooLen, q.waiting = nil, 0, 0
}

func (q *receiveQueue) release() {
	q.releaseReassembly()
	for i := q.head; i < len(q.chunks); i++ {
		q.chunks[i].Release()
	}
	q.chunks, q.head, q.ready = nil, 0, 0
}
