package endpoint

// maxPieces bounds the pieces of one super-segment; the kernel takes at most
// 1,024 (IOV_MAX).
const maxPieces = 128

// sendQueue holds the octets that the user wrote and the peer has not yet
// acknowledged, in order.
type sendQueue struct {
	chunks []written
	first  [1]written // where chunks starts, so that a short exchange allocates nothing
	head   int        // chunks before it are released
	start  Seq        // of the first octet held
	end    Seq        // one past the last octet held
}

// written is a chunk in the queue and the sequence number of its first octet.
type written struct {
	Chunk
	seq Seq
}

func (q *sendQueue) init(start Seq) { q.start, q.end = start, start }

// len is the number of octets held.
func (q *sendQueue) len() int { return q.start.To(q.end) }

func (q *sendQueue) push(c Chunk) {
	n := len(c.Data)
	if n == 0 {
		c.Release()
		return
	}
	if len(q.chunks) > q.head && q.chunks[len(q.chunks)-1].join(c.Data) {
		q.end = q.end.Plus(n)
		c.Release()
		return
	}
	if q.chunks == nil {
		q.chunks = q.first[:0]
	}
	if q.head > 32 && q.head*2 > len(q.chunks) {
		q.compact()
	}
	q.chunks = append(q.chunks, written{c, q.end})
	q.end = q.end.Plus(n)
}

func (q *sendQueue) compact() {
	n := copy(q.chunks, q.chunks[q.head:])
	clear(q.chunks[n:])
	q.chunks, q.head = q.chunks[:n], 0
}

// ackTo forgets the octets before una.
func (q *sendQueue) ackTo(una Seq) {
	if una.After(q.end) {
		una = q.end
	}
	for q.head < len(q.chunks) {
		c := &q.chunks[q.head]
		if c.seq.Plus(len(c.Data)).After(una) {
			break
		}
		c.Release()
		q.head++
	}
	if una.After(q.start) {
		q.start = una
	}
	if q.head == len(q.chunks) {
		q.head = 0
		if cap(q.chunks) > 64 {
			q.chunks = nil
		} else {
			q.chunks = q.chunks[:0]
		}
	}
}

// gather appends to dst the pieces of the octets from seq on, n at most, and
// returns how many octets they hold.
func (q *sendQueue) gather(dst [][]byte, seq Seq, n int) ([][]byte, int) {
	got := 0
	for i := q.find(seq); i < len(q.chunks) && got < n && len(dst) < maxPieces; i++ {
		data := q.chunks[i].Data
		if skip := q.chunks[i].seq.To(seq); skip > 0 {
			data = data[skip:]
		}
		data = data[:min(len(data), n-got)]
		dst = append(dst, data)
		got += len(data)
	}
	return dst, got
}

// find returns the index of the chunk that holds seq.
func (q *sendQueue) find(seq Seq) int {
	lo, hi := q.head, len(q.chunks)
	for lo+1 < hi {
		mid := (lo + hi) / 2
		if q.chunks[mid].seq.AtMost(seq) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

func (q *sendQueue) release() {
	for i := q.head; i < len(q.chunks); i++ {
		q.chunks[i].Release()
	}
	q.chunks, q.head = nil, 0
	q.start = q.end
}
