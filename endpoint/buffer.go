package endpoint

// Buffer sizes in octets. A slab takes the largest message that NFQUEUE can
// deliver (a payload attribute of 65,531 octets with the attributes around
// it); the smaller classes hold what was copied out of a slab because it
// filled too little of it.
const (
	SlabSize = 68 << 10
	// copyBelow is the payload length under which a copy costs less memory
	// than pinning the slab it arrived in.
	copyBelow = 16 << 10
)

var classSizes = [...]int{512, 2 << 10, 16 << 10, SlabSize}

// maxFreePerClass bounds the memory that a pool keeps for later, in octets; a
// pool with a limit keeps at most a part of that in freeParts in each class.
const (
	maxFreePerClass = 8 << 20
	freeParts       = 64
)

// Pool hands out buffers and counts the octets in use. It belongs to one
// goroutine, that of the shard. A limit of 0 means no limit.
type Pool struct {
	free  [len(classSizes)][]*Buffer
	inUse int64
	// charged is what the pool's owner holds beside buffers.
	charged int64
	limit   int64
	most    int // octets that may be free in one class
}

// NewPool makes a pool that reports itself full from limit octets on; 0
// means no limit.
func NewPool(limit int64) *Pool {
	p := &Pool{limit: limit, most: maxFreePerClass}
	if limit > 0 {
		p.most = int(max(SlabSize, min(maxFreePerClass, limit/freeParts)))
	}
	return p
}

// Charge lets n octets more that are no buffer of the pool count against its
// limit, or if n is negative, less.
func (p *Pool) Charge(n int64) { p.charged += n }

// Charged is what is charged at present, in octets.
func (p *Pool) Charged() int64 { return p.charged }

// used is all that counts against the limit.
func (p *Pool) used() int64 { return p.inUse + p.charged }

// Get returns a buffer of at least n octets (at most SlabSize), held once by
// the caller.
func (p *Pool) Get(n int) *Buffer {
	class := 0
	for classSizes[class] < n {
		class++
	}
	var b *Buffer
	if f := p.free[class]; len(f) > 0 {
		b = f[len(f)-1]
		f[len(f)-1] = nil
		p.free[class] = f[:len(f)-1]
	} else {
		b = &Buffer{data: make([]byte, classSizes[class]), pool: p, class: uint8(class)}
	}
	b.refs = 1
	p.inUse += int64(len(b.data))
	return b
}

// InUse is the number of octets in buffers that somebody holds.
func (p *Pool) InUse() int64 { return p.inUse }

// Full tells whether the limit is reached. A full pool still hands out
// buffers, for what has been received must be put somewhere; who could do
// without (a new connection, more out-of-order data) asks first.
func (p *Pool) Full() bool { return p.limit > 0 && p.used() >= p.limit }

// Buffer is a block of memory that its holders count, so that a payload can
// stay where the kernel put it until the other leg's peer has acknowledged
// it. It belongs to the goroutine of its pool.
type Buffer struct {
	data  []byte
	pool  *Pool
	refs  int32
	class uint8
}

// Bytes is the whole block.
func (b *Buffer) Bytes() []byte { return b.data }

// Shared tells whether somebody beside the asking holder holds the buffer.
func (b *Buffer) Shared() bool { return b.refs > 1 }

// Retain adds a holder.
func (b *Buffer) Retain() {
	if b.refs <= 0 {
		panic("endpoint: Retain of a released buffer")
	}
	b.refs++
}

// Release ends one hold; the last one gives the buffer back to its pool.
func (b *Buffer) Release() {
	b.refs--
	switch {
	case b.refs < 0:
		panic("endpoint: Release of a released buffer")
	case b.refs > 0:
		return
	}
	p := b.pool
	p.inUse -= int64(len(b.data))
	if (len(p.free[b.class])+1)*len(b.data) <= p.most {
		p.free[b.class] = append(p.free[b.class], b)
	}
}

// Chunk is a run of stream octets and a hold on the buffer they lie in.
// Whoever is handed a Chunk owns that hold and ends it with Release.
type Chunk struct {
	Data []byte
	buf  *Buffer
}

// NewChunk makes a chunk of data, which lies in b; the chunk adds its own
// hold on b. A nil b means that data belongs to the garbage collector.
func NewChunk(data []byte, b *Buffer) Chunk {
	if b != nil {
		b.Retain()
	}
	return Chunk{Data: data, buf: b}
}

// Release ends the chunk's hold on its buffer.
func (c *Chunk) Release() {
	if c.buf != nil {
		c.buf.Release()
	}
	*c = Chunk{}
}

// join copies data behind the chunk if the chunk has the rest of its buffer for
// itself, and tells whether it could.
func (c *Chunk) join(data []byte) bool {
	if len(data) > joinBelow || c.buf == nil || c.buf.refs != 1 || len(c.buf.data) == SlabSize ||
		cap(c.Data)-len(c.Data) < len(data) {
		return false
	}
	c.Data = append(c.Data, data...)
	return true
}

// joinBelow is the length in octets under which data is copied behind what is
// there already, if there is room, so that a peer of tiny segments cannot make
// us hold a buffer for each.
const joinBelow = 2 << 10

// Split cuts the first n octets off as a chunk of their own.
func (c *Chunk) Split(n int) Chunk {
	head := NewChunk(c.Data[:n], c.buf)
	c.Data = c.Data[n:]
	return head
}
