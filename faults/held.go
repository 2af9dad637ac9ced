package faults

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// What may be held, in segments and octets of payload.
const (
	MaxHeldSegments = 1 << 13 // of one connection
	MaxHeldOctets   = 8 << 20
	maxWireSegments = 1 << 16 // of all connections of a shard
	maxWireOctets   = 64 << 20
	maxSpare        = 1 << 10 // records kept for later
)

// Wire is what the stages of one shard share. It belongs to one goroutine.
type Wire struct {
	// Pool is where the octets of held segments are kept; nil makes
	// garbage-collected memory of it.
	Pool *endpoint.Pool

	Segments int    // held now
	Octets   int    // of their payload
	Full     uint64 // segments that were to be held and were not, for lack of room

	spare    []*held
	event    Event
	pieces   [][]byte            // a stack, see part
	segments []*endpoint.Segment // lent first to last
	lent     int
}

// held is a segment that is kept back.
type held struct {
	due    endpoint.Time
	serial uint64 // what is due at once comes out in the order in which it came in
	leg    endpoint.Leg
	out    bool
	waits  bool // for the moment until
	until  rules.On
	behind int // segments that it waits for, of Reorder
	copies int
	fault  int // that holds it
	seg    endpoint.Segment
	head   endpoint.IPHeader
	note   string
}

// borrow lends a segment to write into, until giveBack.
func (w *Wire) borrow() *endpoint.Segment {
	if w.lent == len(w.segments) {
		w.segments = append(w.segments, new(endpoint.Segment))
	}
	w.lent++
	return w.segments[w.lent-1]
}

// giveBack ends the last n loans.
func (w *Wire) giveBack(n int) {
	for range n {
		w.lent--
		*w.segments[w.lent] = endpoint.Segment{}
	}
}

// room tells whether a stage may hold one more segment, of n octets.
func (w *Wire) room(s *Stage, n int) bool {
	return len(s.held) < MaxHeldSegments && s.octets+n <= MaxHeldOctets &&
		w.Segments < maxWireSegments && w.Octets+n <= maxWireOctets
}

// hold keeps a copy of a segment.
func (s *Stage) hold(t *trip, due endpoint.Time, fault int) *held {
	w := s.w
	var h *held
	if n := len(w.spare); n > 0 {
		h, w.spare[n-1] = w.spare[n-1], nil
		w.spare = w.spare[:n-1]
	} else {
		h = new(held)
	}
	s.serial++
	*h = held{
		due: due, serial: s.serial, leg: t.leg, out: t.out, copies: t.copies, fault: fault, seg: *t.seg, head: t.head, note: t.note,
	}
	h.seg.Payload, h.seg.Pieces, h.seg.Buffer = nil, nil, nil
	n := t.seg.PayloadLen()
	if n > 0 {
		h.seg.Payload, h.seg.Buffer = w.keep(t.seg, n)
	}
	s.counts[fault].holding++
	s.octets += n
	w.Octets += n
	w.Segments++
	s.held = append(s.held, h)
	s.up(len(s.held) - 1)
	return h
}

// keep copies the octets of a segment, of which there are n.
func (w *Wire) keep(seg *endpoint.Segment, n int) ([]byte, *endpoint.Buffer) {
	var buf *endpoint.Buffer
	var data []byte
	if w.Pool != nil {
		buf = w.Pool.Get(n)
		data = buf.Bytes()[:0]
	} else {
		data = make([]byte, 0, n)
	}
	data = append(data, seg.Payload...)
	for _, p := range seg.Pieces {
		data = append(data, p...)
	}
	return data, buf
}

// take removes the i-th of the heap.
func (s *Stage) take(i int) *held {
	h := s.held[i]
	last := len(s.held) - 1
	s.held[i] = s.held[last]
	s.held[last] = nil
	s.held = s.held[:last]
	if i < last {
		s.down(i)
		s.up(i)
	}
	s.uncount(h)
	return h
}

// uncount takes note that a segment is held no longer.
func (s *Stage) uncount(h *held) {
	n := len(h.seg.Payload)
	s.octets -= n
	s.w.Octets -= n
	s.w.Segments--
	s.counts[h.fault].holding--
	if h.behind > 0 {
		s.sides[h.leg][direction(h.out)].behind--
	}
}

// forget gives back what a record holds.
func (w *Wire) forget(h *held) {
	if h.seg.Buffer != nil {
		h.seg.Buffer.Release()
	}
	*h = held{}
	if len(w.spare) < maxSpare {
		w.spare = append(w.spare, h)
	}
}

// let lets a held segment, which take has removed, out. It passes no further
// fault.
func (s *Stage) let(now endpoint.Time, h *held, host Host) {
	if s.p.faults[h.fault].once {
		s.counts[h.fault].done = true
	}
	if n := len(s.w.pieces); h.out && len(h.seg.Payload) > 0 {
		s.w.pieces = append(s.w.pieces, h.seg.Payload)
		h.seg.Pieces, h.seg.Payload = s.w.pieces[n:n+1:n+1], nil
		defer func() { s.w.pieces = s.w.pieces[:n] }()
	}
	for range h.copies + 1 {
		host.Pass(now, h.leg, h.out, &h.seg, h.head, h.note)
	}
	s.w.forget(h)
}

// overtaken counts a segment that has passed, and lets out those that have
// waited for as many as they should.
func (s *Stage) overtaken(now endpoint.Time, l endpoint.Leg, out bool, host Host) {
	ready := false
	for _, h := range s.held {
		if h.behind == 0 || h.leg != l || h.out != out {
			continue
		}
		if h.behind--; h.behind == 0 {
			s.sides[l][direction(out)].behind--
			h.due, ready = now, true
		}
	}
	if ready {
		s.heapify()
		s.Release(now, host)
	}
}

// Next is when Release has something to do, or Never.
func (s *Stage) Next() endpoint.Time {
	if s == nil || len(s.held) == 0 {
		return endpoint.Never
	}
	return s.held[0].due
}

// Release lets out what is due.
func (s *Stage) Release(now endpoint.Time, host Host) {
	for len(s.held) > 0 && s.held[0].due <= now {
		s.let(now, s.take(0), host)
	}
}

// Flush lets out all that is held, in the order in which it came.
func (s *Stage) Flush(now endpoint.Time, host Host) {
	if s == nil {
		return
	}
	for _, h := range s.held {
		if h.behind > 0 {
			h.behind = 0
			s.sides[h.leg][direction(h.out)].behind--
		}
		h.waits, h.due = false, now
	}
	s.heapify()
	s.Release(now, host)
}

// Finish tells the stage that nobody is left to take what arrives, and that
// no moment will come any more: what is held for these is forgotten. What is
// on its way to a peer still leaves at its time, for the wire does not know.
func (s *Stage) Finish() {
	if s == nil || s.over {
		return
	}
	s.over = true
	kept := s.held[:0]
	for _, h := range s.held {
		if h.out && !h.waits {
			kept = append(kept, h)
			continue
		}
		s.uncount(h)
		s.w.forget(h)
	}
	clear(s.held[len(kept):])
	s.held = kept
	s.heapify()
}

// Close forgets all that the stage holds.
func (s *Stage) Close() {
	if s == nil {
		return
	}
	s.over = true
	for len(s.held) > 0 {
		s.w.forget(s.take(len(s.held) - 1))
	}
	s.held = nil
}

// Held is how many segments the stage holds.
func (s *Stage) Held() int {
	if s == nil {
		return 0
	}
	return len(s.held)
}
