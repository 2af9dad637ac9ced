package capture

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// Bounds of what waits in a Recorder.
const (
	maxRecords = 8192
	maxOctets  = 64 << 20 // of buffers
)

// MaxSnap is the most octets of one packet that there can be.
const MaxSnap = 1 << 16

// Recorder is a trace.Attachment that copies packets for a capture.
type Recorder struct {
	filter *trace.Filter
	snap   int
	queue  chan record
	octets atomic.Int64
	chosen [2]atomic.Uint64 // packets of each leg that the filter chose
	lost   [2]atomic.Uint64 // of these, those that found the queue full
	gap    [2]atomic.Uint64 // lost since the last one that found room
	silent atomic.Uint64    // faults and ends that found the queue full
}

var _ trace.Attachment = (*Recorder)(nil)

// NewRecorder makes a Recorder of the packets that a filter chooses; of each
// at most snap octets are kept, 0 keeps all.
func NewRecorder(filter *trace.Filter, snap int) *Recorder {
	if snap <= 0 || snap > MaxSnap {
		snap = MaxSnap
	}
	return &Recorder{filter: filter, snap: snap, queue: make(chan record, maxRecords)}
}

// pair names a connection as its client knows it.
type pair struct{ client, server netip.AddrPort }

// kind is what a record tells of.
type kind uint8

const (
	ofPacket kind = iota
	ofFault
	ofClosed
)

// record is something on its way from a shard to the file.
type record struct {
	kind kind
	at   endpoint.Time
	pair pair
	leg  endpoint.Leg
	out  bool

	// Of a packet:
	lost    bool // a fault has kept it from the wire
	data    bool // it carries octets, or ends the stream
	note    string
	tuple   endpoint.Tuple
	head    splice.Header
	ecn     uint8
	whole   bool    // octets begins with the IP header, not the TCP header
	octets  *buffer // what of the packet is kept
	payload int     // octets of payload
	length  int     // octets from where octets begins to the packet's end
	missed  uint64  // packets of the leg that are missing before it

	fault *fault
}

// fault is what the file says of a fault that fired.
type fault struct {
	index  int
	stream bool
	onWire bool // it acts on this very segment
	text   string
	seq    uint32 // relative
	len    int
}

// buffer holds octets of a packet. There are two sizes, so that small packets
// do not hold the room of large ones.
type buffer struct {
	b    []byte
	size int64
}

const smallBuffer, largeBuffer = 2 << 10, MaxSnap + 1<<10

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, smallBuffer), smallBuffer} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, largeBuffer), largeBuffer} }}
)

func newBuffer(n int) *buffer {
	pool := &largeBuffers
	if n <= smallBuffer {
		pool = &smallBuffers
	}
	b := pool.Get().(*buffer)
	b.b = b.b[:0]
	return b
}

func (b *buffer) free() {
	if b.size == smallBuffer {
		smallBuffers.Put(b)
	} else {
		largeBuffers.Put(b)
	}
}

// Wire implements splice.WireObserver.
func (r *Recorder) Wire(e *splice.WireEvent) {
	if !r.filter.MatchWire(e) {
		return
	}
	r.chosen[e.Leg].Add(1)
	seg := e.Segment
	rec := record{
		kind: ofPacket, at: e.At, pair: pair{e.Client, e.Server}, leg: e.Leg, out: e.Out, lost: e.Lost, note: e.Note,
		tuple: e.Tuple, head: e.Head, ecn: seg.ECN, payload: seg.PayloadLen(),
	}
	rec.data = rec.payload > 0 || seg.Flags&(endpoint.FIN|endpoint.RST) != 0
	n := r.snap
	if e.Raw == nil {
		n = min(n, endpoint.MaxHeaderLen+rec.payload)
	} else {
		n = min(n, len(e.Raw))
	}
	size := int64(largeBuffer)
	if n <= smallBuffer {
		size = smallBuffer
	}
	if r.octets.Add(size) > maxOctets {
		r.octets.Add(-size)
		r.miss(e.Leg, 0)
		return
	}
	rec.octets = newBuffer(n)
	if e.Raw != nil {
		rec.whole, rec.length = true, len(e.Raw)
		rec.octets.b = append(rec.octets.b, e.Raw[:n]...)
	} else {
		rec.fill(seg, r.snap)
	}
	rec.missed = r.gap[e.Leg].Swap(0)
	if missed := rec.missed; !r.put(rec) {
		r.octets.Add(-size)
		rec.octets.free()
		r.miss(e.Leg, missed)
	}
}

// miss counts a packet that is not in the file, and those before it that have
// not been told of.
func (r *Recorder) miss(l endpoint.Leg, before uint64) {
	r.lost[l].Add(1)
	r.gap[l].Add(1 + before)
}

// fill copies a segment as our endpoint writes it, the IP header still to
// come, of which room is kept free in snap.
func (rec *record) fill(seg *endpoint.Segment, snap int) {
	b := endpoint.AppendHeader(rec.octets.b, rec.tuple.SrcPort, rec.tuple.DstPort, seg)
	rec.length = len(b) + rec.payload
	left := min(rec.payload, max(0, snap-headerLen(&rec.tuple)-len(b)))
	piece := func(p []byte) {
		p = p[:min(left, len(p))]
		b = append(b, p...)
		left -= len(p)
	}
	piece(seg.Payload)
	for _, p := range seg.Pieces {
		piece(p)
	}
	rec.octets.b = b
}

func (r *Recorder) put(rec record) bool {
	select {
	case r.queue <- rec:
		return true
	default:
		return false
	}
}

// Fault implements trace.Attachment.
func (r *Recorder) Fault(e *splice.FaultEvent) {
	if !r.filter.MatchFault(e) {
		return
	}
	if e.HasSegment && e.Out && e.Do != rules.Lose {
		return // the segment says it when it leaves
	}
	rec := record{kind: ofFault, at: e.At, pair: pair{e.Client, e.Server}, leg: e.Leg, out: e.Out, fault: &fault{
		index: e.Fault, stream: e.IsStream, onWire: e.HasSegment, text: remark(e), seq: uint32(e.Seq - e.IRS), len: e.Len,
	}}
	if !e.HasSegment && !e.IsStream && (e.Do == rules.Delay || e.Do == rules.Hold) {
		return // decided late: the segment says it when it leaves
	}
	if e.Out {
		rec.fault.seq = uint32(e.Seq - e.ISS)
	}
	if !r.put(rec) {
		r.silent.Add(1)
	}
}

// Closed implements trace.Attachment.
func (r *Recorder) Closed(s *splice.Summary) {
	if !r.filter.MatchClosed(s) {
		return
	}
	if !r.put(record{kind: ofClosed, pair: pair{s.Client, s.Server}}) {
		r.silent.Add(1)
	}
}
