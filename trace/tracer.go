package trace

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tcpmitm/splice"
)

// Bounds of what waits for the writer, in events.
const (
	maxSegments = 8192
	maxClosed   = 8192
)

// gather is how long the writer lets more come when it has written all there
// was: to wake it for each connection would cost more than to write its line.
const gather = 5 * time.Millisecond

// ladderBuffer gathers lines of the ladder, in octets.
const ladderBuffer = 64 << 10

// Options say what a Tracer writes, and where.
type Options struct {
	// Logger gets a line for each connection that ends.
	Logger *slog.Logger
	// Ladder gets every segment as a picture; nil is nobody.
	Ladder io.Writer
	// Colour is set if Ladder is a terminal.
	Colour bool
	// Full makes the log say all that there is to say of an end: for machines.
	Full bool
	// Epoch is the wall clock's reading at the shards' time 0.
	Epoch time.Time
}

// Tracer is an Observer that any number of shards may share.
type Tracer struct {
	opt      Options
	pictures chan record
	closed   chan splice.Summary
	undrawn  atomic.Uint64 // events that the ladder does not show
	lost     atomic.Uint64 // events that a tap does not tell
	unlogged atomic.Uint64 // connections whose end was not logged

	taps     atomic.Pointer[[]*Tap]
	attached atomic.Pointer[[]Attachment]
	mu       sync.Mutex // of who changes taps and attached
	recent   recent

	stop sync.Once
	quit chan struct{}
	done chan struct{}
}

var _ splice.Observer = (*Tracer)(nil)

// New starts a Tracer. Close ends it.
func New(opt Options) *Tracer {
	t := &Tracer{
		opt:    opt,
		closed: make(chan splice.Summary, maxClosed),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if opt.Ladder != nil {
		t.pictures = make(chan record, maxSegments)
	}
	go t.run()
	return t
}

// Draws tells whether the Tracer wants to be told of segments at all.
func (t *Tracer) Draws() bool { return t.pictures != nil }

// Segment implements splice.Observer.
func (t *Tracer) Segment(e *splice.SegmentEvent) {
	for _, p := range t.loadTaps() {
		p.segment(e)
	}
	if t.pictures == nil {
		return
	}
	r := record{segment: *e}
	r.segment.Segment = nil
	t.draw(r)
}

// Fault implements splice.Observer.
func (t *Tracer) Fault(e *splice.FaultEvent) {
	for _, p := range t.loadTaps() {
		p.fault(e)
	}
	for _, a := range t.loadAttached() {
		a.Fault(e)
	}
	if t.pictures != nil {
		c := *e
		t.draw(record{fault: &c})
	}
}

// Closed implements splice.Observer. Where there is a ladder, the end is logged
// when it is drawn, so that the two are in one order.
func (t *Tracer) Closed(s *splice.Summary) {
	for _, p := range t.loadTaps() {
		p.closed(s)
	}
	for _, a := range t.loadAttached() {
		a.Closed(s)
	}
	t.recent.add(s)
	if t.pictures != nil {
		c := *s
		if t.draw(record{closed: &c}) {
			return
		}
	}
	if !t.logs() {
		return
	}
	select {
	case t.closed <- *s:
	default:
		t.unlogged.Add(1)
	}
}

// logs tells whether somebody reads of ends.
func (t *Tracer) logs() bool {
	return t.opt.Logger != nil && t.opt.Logger.Enabled(context.Background(), slog.LevelInfo)
}

// draw queues something for the ladder, and tells whether there was room.
func (t *Tracer) draw(r record) bool {
	select {
	case t.pictures <- r:
		return true
	default:
		t.undrawn.Add(1)
		return false
	}
}

// now is the wall clock, for what has no time of a shard's.
func (t *Tracer) now() time.Time { return time.Now() }

// Lost is how many segments and how many ends of connections were not shown
// because they came faster than they could be written.
func (t *Tracer) Lost() (segments, ends uint64) {
	return t.undrawn.Load() + t.lost.Load(), t.unlogged.Load()
}

// Close writes what has been told so far and ends the Tracer. Shards must not
// tell it anything afterwards.
func (t *Tracer) Close() {
	t.stop.Do(func() { close(t.quit) })
	<-t.done
}

// run is the one goroutine that writes.
func (t *Tracer) run() {
	defer close(t.done)
	w := newWriter(t)
	for {
		select {
		case p := <-t.pictures:
			w.picture(&p)
		case s := <-t.closed:
			w.end(&s)
		case <-t.quit:
			w.rest()
			return
		}
		// While there is more, it is gathered: a line at a time would be
		// much slower, and more would be lost.
		if len(t.pictures) == 0 || w.unsaid >= maxSegments {
			w.confess()
		}
		if len(t.pictures) == 0 && len(t.closed) == 0 {
			time.Sleep(gather)
		}
	}
}

// writer is what only the writing goroutine has.
type writer struct {
	tracer         *Tracer
	scribe         scribe
	ladder         *Ladder
	out            *bufio.Writer // the ladder's
	unsaid         int           // pictures since confess
	lost, unlogged uint64        // as printed
}

func newWriter(t *Tracer) *writer {
	w := &writer{tracer: t, scribe: scribe{t.opt.Epoch}}
	if t.opt.Ladder != nil {
		w.out = bufio.NewWriterSize(t.opt.Ladder, ladderBuffer)
		w.ladder = NewLadder(w.out, LadderOptions{Colour: t.opt.Colour})
	}
	return w
}

func (w *writer) picture(r *record) {
	w.unsaid++
	w.ladder.Draw(w.scribe.event(r))
	if r.closed != nil {
		w.flush()
		w.end(r.closed)
	}
}

func (w *writer) end(s *splice.Summary) {
	if t := w.tracer; t.logs() {
		t.opt.Logger.LogAttrs(context.Background(), slog.LevelInfo, "connection closed", endAttrs(s, t.opt.Full)...)
	}
}

// rest writes what is in the channels; they are bounded and nobody adds.
func (w *writer) rest() {
	for range len(w.tracer.pictures) {
		p := <-w.tracer.pictures
		w.picture(&p)
	}
	for range len(w.tracer.closed) {
		s := <-w.tracer.closed
		w.end(&s)
	}
	w.confess()
}

// confess tells of what was lost since it last did, and shows all so far.
func (w *writer) confess() {
	lost, unlogged := w.tracer.undrawn.Load(), w.tracer.unlogged.Load()
	if n := lost - w.lost; n > 0 && w.ladder != nil {
		w.ladder.Draw(&Event{Type: TypeLost, Lost: n})
	}
	if n := unlogged - w.unlogged; n > 0 && w.tracer.opt.Logger != nil {
		w.tracer.opt.Logger.Warn("connections ended faster than they could be logged", "not_logged", n)
	}
	w.lost, w.unlogged, w.unsaid = lost, unlogged, 0
	w.flush()
}

func (w *writer) flush() {
	if w.out != nil {
		_ = w.out.Flush()
		// A reader who hung up and a full disk must not stop the gateway, nor
		// stay in the way of later lines.
		w.out.Reset(w.tracer.opt.Ladder)
	}
}
