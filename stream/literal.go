package stream

import (
	"bytes"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// How long the beginning of a possible match waits for its rest.
const (
	// replaceSilence is a little more than the usual least RTO of 200 ms: a
	// segment that is lost and sent again is not too late.
	replaceSilence = 250 * time.Millisecond
	replaceAge     = 2 * time.Second
)

// wait is how long what could be the beginning of a match is held.
type wait struct {
	since endpoint.Time // when it began
	last  endpoint.Time // when octets came last
	on    bool
	// stuck tells that the queue behind was full: meanwhile time does not count.
	stuck bool
}

// begin is called before anything else in a run.
func (w *wait) begin(now endpoint.Time) {
	if w.stuck {
		w.stuck, w.since, w.last = false, now, now
	}
}

// came notes that octets came, and whether any are held after them; fresh
// tells that what is held has begun with them.
func (w *wait) came(now endpoint.Time, held, fresh bool) {
	if held && (fresh || !w.on) {
		w.since = now
	}
	w.on, w.last = held, now
}

// due is when the wait is over.
func (w *wait) due() endpoint.Time {
	if !w.on {
		return endpoint.Never
	}
	return min(w.last.Add(replaceSilence), w.since.Add(replaceAge))
}

// literal replaces one run of octets by another. Of a match that has begun it
// keeps nothing but the length (Knuth, Morris and Pratt, 1977): the octets
// themselves are those of find.
type literal struct {
	find, with []byte
	fallback   []int32 // for each length, that of the next shorter match
	left       uint64  // how often it may still replace

	matched int // octets of find that are held
	seen    uint64
	wait    wait
	report  reporter
}

func newLiteral(r *rules.Policy) maker {
	if len(r.Find) == 0 {
		return nil
	}
	l := literal{find: bytes.Clone(r.Find), with: bytes.Clone(r.With), left: r.First}
	l.fallback = fallback(l.find)
	if l.left == 0 {
		l.left = ^uint64(0)
	}
	return func(p *Pipeline) stage {
		s := l
		s.report = p.reporter()
		return &s
	}
}

// fallback gives for each n the length of the longest proper beginning of
// find[:n] that is also its end.
func fallback(find []byte) []int32 {
	f := make([]int32, len(find)+1)
	k := int32(0)
	for n := 2; n <= len(find); n++ {
		for k > 0 && find[k] != find[n-1] {
			k = f[k]
		}
		if find[k] == find[n-1] {
			k++
		}
		f[n] = k
	}
	return f
}

func (s *literal) held() (octets, chunks int) { return s.matched, 0 }
func (s *literal) release()                   { s.matched = 0 }

func (s *literal) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	s.wait.begin(now)
	for !in.empty() && !out.full() {
		began := s.seen - uint64(s.matched)
		s.step(p, in, out)
		s.wait.came(now, s.matched > 0, s.seen-uint64(s.matched) != began)
	}
	if !in.empty() || out.full() {
		s.wait.stuck = true
		return endpoint.Never
	}
	if in.over || now >= s.wait.due() {
		out.give(p.pool, s.find[:s.matched])
		s.matched, s.wait.on = 0, false
	}
	if in.over {
		out.end(in.ending)
	}
	return s.wait.due()
}

// step goes on by a part of the first item: up to a match, or all of it.
func (s *literal) step(p *Pipeline, in, out *queue) {
	data := in.at(0).chunk.Data
	if s.left == 0 {
		s.seen += uint64(len(data))
		out.push(in.take(len(data)))
		return
	}
	if s.matched > 0 {
		s.resume(p, in, out)
		return
	}
	if at := bytes.Index(data, s.find); at >= 0 {
		s.pass(p, at, in, out)
		s.skip(len(s.find), in)
		s.replace(p, out)
		return
	}
	// No match, but the end may be the beginning of one.
	k := 0
	for _, b := range data[max(0, len(data)-len(s.find)+1):] {
		k = s.advance(k, b)
	}
	s.pass(p, len(data)-k, in, out)
	s.skip(k, in)
	s.matched = k
}

// resume goes on with what is held, through the first item: until it is a
// match, or all of it has passed, because what could be a match now lies in
// the item alone and is found there anew.
func (s *literal) resume(p *Pipeline, in, out *queue) {
	data := in.at(0).chunk.Data
	held, k := s.matched, s.matched
	for i, b := range data {
		k = s.advance(k, b)
		// The longest possible match is the last k octets of those that are
		// held and the i+1 of data; this many of the held ones are before it.
		before := held + i + 1 - k
		if before >= held {
			out.give(p.pool, s.find[:held])
			s.matched = 0
			return
		}
		if k == len(s.find) {
			out.give(p.pool, s.find[:before])
			s.skip(i+1, in)
			s.replace(p, out)
			return
		}
	}
	out.give(p.pool, s.find[:held+len(data)-k])
	s.skip(len(data), in)
	s.matched = k
}

// advance is how long the possible match is after one of k octets and b; k is
// less than the length of find.
func (s *literal) advance(k int, b byte) int {
	for k > 0 && s.find[k] != b {
		k = int(s.fallback[k])
	}
	if s.find[k] == b {
		k++
	}
	return k
}

func (s *literal) pass(p *Pipeline, n int, in, out *queue) {
	if n > 0 {
		s.seen += uint64(n)
		in.pass(p.pool, n, out)
	}
}

func (s *literal) skip(n int, in *queue) {
	if n > 0 {
		s.seen += uint64(n)
		in.drop(n)
	}
}

// replace writes with for the match that ends at seen.
func (s *literal) replace(p *Pipeline, out *queue) {
	s.matched = 0
	s.left--
	s.report.tell(p, s.seen-uint64(len(s.find)), len(s.find))
	out.give(p.pool, s.with)
}
