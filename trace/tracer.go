package trace

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"tcpmitm/splice"
)

// Bounds of what waits for the writer, in events.
const (
	maxSegments = 8192
	maxClosed   = 8192
)

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
}

// Tracer is an Observer that any number of shards may share.
type Tracer struct {
	opt      Options
	pictures chan picture
	closed   chan splice.Summary
	lost     atomic.Uint64 // events that the ladder does not show
	unlogged atomic.Uint64 // connections whose end was not logged

	stop sync.Once
	quit chan struct{}
	done chan struct{}
}

// picture is one thing that the ladder shows: a segment or a connection's end.
type picture struct {
	segment splice.SegmentEvent
	closed  *splice.Summary
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
		t.pictures = make(chan picture, maxSegments)
	}
	go t.run()
	return t
}

// Draws tells whether the Tracer wants to be told of segments at all.
func (t *Tracer) Draws() bool { return t.pictures != nil }

// Segment implements splice.Observer.
func (t *Tracer) Segment(e *splice.SegmentEvent) {
	if t.pictures == nil {
		return
	}
	select {
	case t.pictures <- picture{segment: *e}:
	default:
		t.lost.Add(1)
	}
}

// Fault implements splice.Observer. What a fault lets through is drawn as a
// segment with a note.
func (t *Tracer) Fault(*splice.FaultEvent) {}

// Closed implements splice.Observer. Where there is a ladder, the end is logged
// when it is drawn, so that the two are in one order.
func (t *Tracer) Closed(s *splice.Summary) {
	if t.pictures != nil {
		c := *s
		select {
		case t.pictures <- picture{closed: &c}:
			return
		default:
			t.lost.Add(1)
		}
	}
	select {
	case t.closed <- *s:
	default:
		t.unlogged.Add(1)
	}
}

// Lost is how many segments and how many ends of connections were not shown
// because they came faster than they could be written.
func (t *Tracer) Lost() (segments, ends uint64) { return t.lost.Load(), t.unlogged.Load() }

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
	}
}

// writer is what only the writing goroutine has.
type writer struct {
	tracer         *Tracer
	ladder         *ladder
	out            *bufio.Writer // the ladder's
	unsaid         int           // pictures since confess
	lost, unlogged uint64        // as printed
}

func newWriter(t *Tracer) *writer {
	w := &writer{tracer: t}
	if t.opt.Ladder != nil {
		w.out = bufio.NewWriterSize(t.opt.Ladder, ladderBuffer)
		w.ladder = newLadder(w.out, t.opt.Colour)
	}
	return w
}

func (w *writer) picture(p *picture) {
	w.unsaid++
	if p.closed == nil {
		w.ladder.segment(&p.segment)
		return
	}
	w.ladder.closed(p.closed)
	w.flush()
	w.end(p.closed)
}

func (w *writer) end(s *splice.Summary) {
	if w.tracer.opt.Logger != nil {
		w.tracer.opt.Logger.LogAttrs(context.Background(), slog.LevelInfo, "connection closed", endAttrs(s)...)
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
	lost, unlogged := w.tracer.Lost()
	if n := lost - w.lost; n > 0 && w.ladder != nil {
		w.ladder.gap(fmt.Sprintf("%d segments are not shown: they came faster than they could be written", n))
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
