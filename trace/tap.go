package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// Bounds of what taps may cost.
const (
	maxTaps       = 16       // at once
	maxTapRecords = 4096     // that wait in one
	maxTapOctets  = 16 << 20 // of segments that wait in one
	maxSnap       = 1 << 16  // octets of one segment
)

// ErrTooManyTaps means that no further trace can be attached.
var ErrTooManyTaps = errors.New("16 traces are attached already: end one of them")

// Tap is one reader of events, with a filter and a bounded queue of its own. A
// reader that does not keep up loses events, and is told how many; shards
// never wait for it.
type Tap struct {
	tracer  *Tracer
	filter  *Filter
	snap    int
	faults  bool // it is told of faults alone
	records chan record
	octets  atomic.Int64 // that wait in records
	missed  atomic.Uint64
	told    uint64 // of missed; the reader's
	since   int    // events since the reader was last told
	scribe  scribe
}

// record is one event on its way from a shard to a reader.
type record struct {
	segment splice.SegmentEvent
	header  []byte
	payload []byte
	fault   *splice.FaultEvent
	closed  *splice.Summary
}

// Subscribe attaches a reader of the events that a filter chooses. With a snap
// above 0, segments come with their headers and at most so many octets of
// their payload. The reader ends it with Close.
func (t *Tracer) Subscribe(f *Filter, snap int) (*Tap, error) {
	return t.attach(&Tap{filter: f, snap: min(snap, maxSnap)})
}

// SubscribeFaults attaches a reader that is told of every fault that fires,
// and of nothing else.
func (t *Tracer) SubscribeFaults() (*Tap, error) { return t.attach(&Tap{faults: true}) }

func (t *Tracer) attach(p *Tap) (*Tap, error) {
	p.tracer, p.records, p.scribe = t, make(chan record, maxTapRecords), scribe{t.opt.Epoch}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.loadTaps()
	if len(old) == maxTaps {
		return nil, ErrTooManyTaps
	}
	list := append(append([]*Tap(nil), old...), p)
	t.taps.Store(&list)
	return p, nil
}

// Close detaches the reader.
func (p *Tap) Close() {
	t := p.tracer
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*Tap
	for _, other := range t.loadTaps() {
		if other != p {
			list = append(list, other)
		}
	}
	t.taps.Store(&list)
}

// Taps is how many readers are attached.
func (t *Tracer) Taps() int { return len(t.loadTaps()) }

func (t *Tracer) loadTaps() []*Tap {
	if list := t.taps.Load(); list != nil {
		return *list
	}
	return nil
}

// put queues a record, or counts it as lost.
func (p *Tap) put(r record) {
	n := int64(len(r.header) + len(r.payload))
	if p.octets.Add(n) <= maxTapOctets {
		select {
		case p.records <- r:
			return
		default:
		}
	}
	p.octets.Add(-n)
	p.missed.Add(1)
	p.tracer.lost.Add(1)
}

func (p *Tap) segment(e *splice.SegmentEvent) {
	if p.faults || !p.filter.segment(e) {
		return
	}
	r := record{segment: *e}
	r.segment.Segment = nil
	if p.snap > 0 && e.Segment != nil {
		r.header, r.payload = copyOctets(e, p.snap)
	}
	p.put(r)
}

// copyOctets copies a segment's header, as our endpoint would write it, and
// the first octets of its payload.
func copyOctets(e *splice.SegmentEvent, snap int) (header, payload []byte) {
	from, to := e.Client.Port(), e.Server.Port()
	if (e.Leg == endpoint.Client) == e.Out {
		from, to = to, from
	}
	header = endpoint.AppendHeader(make([]byte, 0, endpoint.MaxHeaderLen), from, to, e.Segment)
	n := min(snap, e.Len)
	if n == 0 {
		return header, nil
	}
	payload = make([]byte, 0, n)
	payload = append(payload, e.Segment.Payload[:min(n, len(e.Segment.Payload))]...)
	for _, piece := range e.Segment.Pieces {
		payload = append(payload, piece[:min(n-len(payload), len(piece))]...)
	}
	return header, payload
}

func (p *Tap) fault(e *splice.FaultEvent) {
	if p.filter.fault(e) {
		c := *e
		p.put(record{fault: &c})
	}
}

func (p *Tap) closed(s *splice.Summary) {
	if !p.faults && p.filter.closed(s) {
		c := *s
		p.put(record{closed: &c})
	}
}

// Next waits for the next event. It returns io.EOF when the tracer is closed
// and everything has been read, or the context's error.
func (p *Tap) Next(ctx context.Context) (*Event, error) {
	// The queue may stay full for ever, so the reader is told now and then.
	if len(p.records) == 0 || p.since >= maxTapRecords {
		if e := p.confess(); e != nil {
			return e, nil
		}
	}
	p.since++
	select {
	case r := <-p.records:
		return p.event(&r), nil
	default:
	}
	select {
	case r := <-p.records:
		return p.event(&r), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.tracer.quit:
	}
	select {
	case r := <-p.records:
		return p.event(&r), nil
	default:
		return nil, io.EOF
	}
}

// Waiting tells whether Next would return at once.
func (p *Tap) Waiting() bool { return len(p.records) > 0 }

// confess tells of what was lost since it was last told.
func (p *Tap) confess() *Event {
	p.since = 0
	missed := p.missed.Load()
	n := missed - p.told
	if n == 0 {
		return nil
	}
	p.told = missed
	return &Event{Type: TypeLost, Lost: n, Time: p.tracer.now().UTC()}
}

func (p *Tap) event(r *record) *Event {
	p.octets.Add(-int64(len(r.header) + len(r.payload)))
	return p.scribe.event(r)
}

func (w *scribe) event(r *record) *Event {
	switch {
	case r.closed != nil:
		return w.closed(r.closed)
	case r.fault != nil:
		return w.fault(r.fault)
	}
	e := w.segment(&r.segment)
	e.Segment.Header, e.Segment.Payload = r.header, r.payload
	return e
}

// lostText says what is missing, for people.
func lostText(n uint64) string {
	return fmt.Sprintf("%d events are not shown: they came faster than they could be written", n)
}
