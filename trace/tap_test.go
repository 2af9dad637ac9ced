package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

func mustSubscribe(t *testing.T, tr *Tracer, filter string, snap int) *Tap {
	t.Helper()
	f, err := ParseFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tr.Subscribe(f, snap)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// next reads an event that must be there.
func (p *Tap) next(t *testing.T) *Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	e, err := p.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The lines of a stream, and with them every field, are as documented.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	for _, e := range story() {
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	wantGolden(t, "testdata/ladder.json", b.String())
	// What is written can be read, and then draws the same ladder.
	again := draw(false, func(l *Ladder) {
		for d := json.NewDecoder(&b); ; {
			var e Event
			if err := d.Decode(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			l.Draw(&e)
		}
	})
	wantGolden(t, "testdata/ladder.txt", again)
}

func TestTapsWithFilters(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	all, servers, faults := mustSubscribe(t, tr, "", 0), mustSubscribe(t, tr, "leg server", 0), mustSubscribe(t, tr, "faults", 0)
	events, end := sample()
	fault := splice.FaultEvent{Conn: 1, Rule: "late goodbye", Text: "client fin delay by 1s", Client: end.Client, Server: end.Server}
	tr.Segment(&events[0])
	tr.Segment(&events[1])
	tr.Fault(&fault)
	tr.Closed(&end)
	for _, want := range []string{TypeSegment, TypeSegment, TypeFault, TypeClosed} {
		if e := all.next(t); e.Type != want || e.Conn != 1 {
			t.Errorf("without a filter came %+v, want a %s", e, want)
		}
	}
	if e := servers.next(t); e.Leg != "server" || e.Segment.Seq != uint32(events[1].Seq) {
		t.Errorf("with leg server came %+v", e)
	}
	if e := servers.next(t); e.Type != TypeClosed {
		t.Errorf("with leg server came %+v", e)
	}
	if e := faults.next(t); e.Type != TypeFault || e.Fault.Text != fault.Text {
		t.Errorf("with faults came %+v", e)
	}
	if servers.Waiting() || faults.Waiting() {
		t.Error("more than was asked for has come")
	}
	faults.Close()
	tr.Fault(&fault)
	if faults.Waiting() || tr.Taps() != 2 {
		t.Errorf("a tap that is closed gets events, or counts among %d", tr.Taps())
	}
}

// The octets that a tap asks for are copied, and no more of them.
func TestTapWithOctets(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	p, without := mustSubscribe(t, tr, "", 6), mustSubscribe(t, tr, "", 0)
	events, _ := sample()
	e := events[6]
	piece := []byte("lo world")
	seg := endpoint.Segment{Seq: e.Seq, Flags: e.Flags, Pieces: [][]byte{[]byte("hel"), piece}}
	e.Segment, e.Len = &seg, seg.PayloadLen()
	tr.Segment(&e)
	clear(piece)
	got := p.next(t)
	if string(got.Segment.Payload) != "hello " || got.Segment.Len != 11 {
		t.Errorf("of 11 octets came %q, with length %d", got.Segment.Payload, got.Segment.Len)
	}
	if h := got.Segment.Header; len(h) != endpoint.HeaderLen || h[0] != 41712>>8 || h[3] != 80 {
		t.Errorf("the header is % x", h)
	}
	if got := without.next(t); got.Segment.Header != nil || got.Segment.Payload != nil {
		t.Errorf("octets nobody asked for: %+v", got.Segment)
	}
	if text := draw(false, func(l *Ladder) { l.opt.Hex = true; l.Draw(got) }); !strings.Contains(text, "0000  68 65 6c 6c 6f 20") ||
		!strings.Contains(text, "hello") || !strings.Contains(text, "and 5 octets more") {
		t.Errorf("the dump is\n%s", text)
	}
}

// A reader that stands still costs a bounded queue, and is told what it has
// missed, behind what it has not.
func TestSlowTap(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	slow, quick := mustSubscribe(t, tr, "", 0), mustSubscribe(t, tr, "conn 2", 0)
	events, _ := sample()
	const more = 100
	for range maxTapRecords + more {
		tr.Segment(&events[0])
	}
	events[0].Conn = 2
	tr.Segment(&events[0])
	if e := quick.next(t); e.Conn != 2 || quick.Waiting() {
		t.Errorf("another reader got %+v", e)
	}
	for n := range maxTapRecords {
		if e := slow.next(t); e.Type != TypeSegment || e.Conn != 1 {
			t.Fatalf("event %d is %+v", n, e)
		}
	}
	if e := slow.next(t); e.Type != TypeLost || e.Lost != more+1 {
		t.Errorf("at the end came %+v, want the loss of %d", e, more+1)
	}
	tr.Segment(&events[0])
	if e := slow.next(t); e.Type != TypeSegment {
		t.Errorf("afterwards came %+v", e)
	}
	if lost, _ := tr.Lost(); lost != more+1 {
		t.Errorf("%d events are counted as lost, want %d", lost, more+1)
	}
}

// Octets that wait are bounded, too.
func TestSlowTapWithOctets(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	p := mustSubscribe(t, tr, "", maxSnap)
	events, _ := sample()
	e := events[6]
	e.Segment = &endpoint.Segment{Payload: make([]byte, 60_000)}
	e.Len = 60_000
	for range 1000 {
		tr.Segment(&e)
	}
	if n := p.octets.Load(); n > maxTapOctets {
		t.Errorf("%d octets wait, more than %d", n, maxTapOctets)
	}
	n := 0
	for p.Waiting() {
		p.next(t)
		n++
	}
	if p.octets.Load() != 0 || n < maxTapOctets/70_000 || n > maxTapOctets/60_000 {
		t.Errorf("%d segments came, and %d octets are said to wait still", n, p.octets.Load())
	}
}

func TestTapsAreBounded(t *testing.T) {
	tr := New(Options{})
	defer tr.Close()
	for range maxTaps {
		mustSubscribe(t, tr, "", 0)
	}
	if _, err := tr.Subscribe(nil, 0); !errors.Is(err, ErrTooManyTaps) {
		t.Errorf("one more: %v", err)
	}
}

// The end of a run ends its readers, when they have read all.
func TestTapEnds(t *testing.T) {
	tr := New(Options{})
	p := mustSubscribe(t, tr, "", 0)
	events, _ := sample()
	tr.Segment(&events[0])
	tr.Close()
	if e := p.next(t); e.Type != TypeSegment {
		t.Errorf("got %+v", e)
	}
	if _, err := p.Next(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	other := mustSubscribe(t, New(Options{}), "", 0)
	if _, err := other.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that gives up: %v", err)
	}
}
