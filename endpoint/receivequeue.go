package endpoint

// maxHoles bounds the out-of-order chunks that wait for what is missing
// before them. What comes in more pieces is dropped and will be sent again.
const maxHoles = 1024

// waiting is an out-of-order run of octets.
type waiting struct {
	Range
	chunk Chunk
}

// receiveQueue holds what has arrived and not yet been read: in order, and
// out of order (SHLD-31).
type receiveQueue struct {
	chunks []Chunk // in order, ready for the user
	first  [2]Chunk
	head   int
	ready  int // octets in chunks

	ooo     []waiting // by sequence number, disjoint
	oooLen  int
	recent  Seq // where the latest out-of-order octets start (RFC 2018, section 4)
	fin     Seq // sequence number of a FIN that came out of order
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
	end := seq.Plus(len(data))
	kept := false
	i := 0
	for i < len(q.ooo) && q.ooo[i].End.AtMost(seq) {
		i++
	}
	for seq.Before(end) {
		stop := end
		if i < len(q.ooo) && q.ooo[i].Start.Before(end) {
			stop = q.ooo[i].Start
		}
		if seq.Before(stop) {
			if len(q.ooo) >= maxHoles {
				return kept
			}
			n := seq.To(stop)
			w := waiting{Range{seq, stop}, keep(pool, data[:n], b)}
			q.ooo = append(q.ooo, waiting{})
			copy(q.ooo[i+1:], q.ooo[i:])
			q.ooo[i] = w
			q.oooLen += n
			kept = true
			data = data[n:]
			seq = stop
			i++
		}
		if i < len(q.ooo) && seq.Before(end) {
			dup := min(q.ooo[i].Start.To(q.ooo[i].End), q.ooo[i].Start.To(end))
			skip := seq.To(q.ooo[i].Start.Plus(dup))
			if q.dsack.Len() == 0 {
				q.dsack = Range{seq, seq.Plus(skip)}
			}
			data = data[skip:]
			seq = seq.Plus(skip)
			i++
		}
	}
	return kept
}

// drain moves what has become in order, from nxt on, to the ready octets and
// returns the new rcv.nxt.
func (q *receiveQueue) drain(nxt Seq) Seq {
	n := 0
	for n < len(q.ooo) && q.ooo[n].Start.AtMost(nxt) {
		w := &q.ooo[n]
		q.oooLen -= w.Len()
		n++
		if w.End.AtMost(nxt) {
			w.chunk.Release()
			continue
		}
		w.chunk.Data = w.chunk.Data[w.Start.To(nxt):]
		nxt = w.End
		q.push(w.chunk)
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
	var recent Range
	q.blocks(func(r Range) bool {
		if r.Start.AtMost(q.recent) && q.recent.Before(r.End) {
			recent = r
			add(r)
			return false
		}
		return true
	})
	q.blocks(func(r Range) bool {
		if r != recent {
			add(r)
		}
		return int(o.SACKBlocks) < limit
	})
}

// blocks calls yield with each contiguous out-of-order range until it returns
// false.
func (q *receiveQueue) blocks(yield func(Range) bool) {
	for i := 0; i < len(q.ooo); {
		r := q.ooo[i].Range
		for i++; i < len(q.ooo) && q.ooo[i].Start == r.End; i++ {
			r.End = q.ooo[i].End
		}
		if !yield(r) {
			return
		}
	}
}

// beyond tells whether octets wait that lie at or after seq.
func (q *receiveQueue) beyond(seq Seq) bool {
	return len(q.ooo) > 0 && q.ooo[len(q.ooo)-1].End.After(seq)
}

func (q *receiveQueue) releaseReassembly() {
	for i := range q.ooo {
		q.ooo[i].chunk.Release()
	}
	q.ooo, q.oooLen = nil, 0
}

func (q *receiveQueue) release() {
	q.releaseReassembly()
	for i := q.head; i < len(q.chunks); i++ {
		q.chunks[i].Release()
	}
	q.chunks, q.head, q.ready = nil, 0, 0
}
