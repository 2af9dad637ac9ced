package stream

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// maxMatch is how long a match of a regular expression can be, in octets: a
// longer one is not found. It bounds what is held while a match may go on.
const maxMatch = 64 << 10

// pattern replaces what a regular expression matches. Octets of which a match
// may still become are kept, in the buffers in which they came.
type pattern struct {
	auto automaton
	with []byte
	// template is the expression, if with refers to its groups.
	template *regexp.Regexp
	left     uint64 // how often it may still replace

	kept   queue
	at     uint64 // position of the first octet kept
	before rune   // what is before it; -1 at the very beginning
	index  int    // where in kept the automaton reads: the item,
	offset int    // and the octet in it
	wait   wait
	report reporter
}

func newPattern(r *rules.Policy) maker {
	g, err := compile(r.Pattern)
	if err != nil {
		// What package regexp has compiled, the same parser takes again.
		panic("stream: " + err.Error())
	}
	with, left := bytes.Clone(r.With), r.First
	var template *regexp.Regexp
	if bytes.IndexByte(with, '$') >= 0 {
		template = r.Pattern
	}
	if left == 0 {
		left = ^uint64(0)
	}
	return func(p *Pipeline) stage {
		s := &pattern{with: with, template: template, left: left, report: p.reporter()}
		s.auto.program, s.before = g, -1
		s.auto.restart(0, -1)
		return s
	}
}

func (s *pattern) held() (octets, chunks int) { return s.kept.octets, s.kept.len() }
func (s *pattern) release()                   { s.kept.release() }

func (s *pattern) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	s.wait.begin(now)
	for s.left > 0 {
		s.scan(p, out, in.over && in.empty())
		if s.left == 0 || out.full() || in.empty() {
			break
		}
		before := s.at
		s.kept.push(in.take(in.octets))
		s.scan(p, out, false)
		s.wait.came(now, !s.kept.empty(), s.at != before)
	}
	if s.left == 0 {
		s.kept.moveTo(out)
		if s.kept.empty() {
			in.moveTo(out)
		}
		s.wait.on = false
	}
	if !in.empty() || out.full() {
		s.wait.stuck = true
		return endpoint.Never
	}
	for !s.kept.empty() && s.left > 0 && now >= s.wait.due() && !out.full() {
		s.giveUp(p, out)
	}
	if s.kept.empty() {
		s.wait.on = false
		if in.over {
			out.end(in.ending)
		}
	}
	if out.full() {
		s.wait.stuck = true
		return endpoint.Never
	}
	return s.wait.due()
}

// scan reads what is kept, and lets go of all that cannot be part of a match
// any more. At the end of the stream that is everything, if out has room.
func (s *pattern) scan(p *Pipeline, out *queue, end bool) {
	for s.left > 0 && !out.full() {
		if s.auto.idle() {
			s.skip()
		}
		r, width := s.peek(end)
		known := width > 0 || end
		if !s.auto.follow(r, known) {
			break
		}
		if s.auto.found && (len(s.auto.cur) == 0 || width == 0 && end) {
			s.replace(p, out)
			continue
		}
		if width == 0 {
			if end {
				s.auto.restart(s.auto.pos, s.auto.prev)
				s.letGo(p, s.auto.pos, out)
				return
			}
			break
		}
		s.auto.step(r, width)
		s.forward(width)
	}
	if s.left > 0 {
		s.letGo(p, s.auto.needed(), out)
	}
}

// skip goes on to the first octet with which a match can begin.
func (s *pattern) skip() {
	for s.index < s.kept.len() {
		data := s.kept.at(s.index).chunk.Data[s.offset:]
		n := 0
		if only := s.auto.only; only >= 0 {
			if n = bytes.IndexByte(data, byte(only)); n < 0 {
				n = len(data)
			}
		} else {
			for n < len(data) && !s.auto.first[data[n]] {
				n++
			}
		}
		if n > 0 {
			s.auto.pos += uint64(n)
			s.auto.prev = runeOf(data[n-1])
			s.forward(n)
		}
		if n < len(data) {
			return
		}
	}
}

// runeOf stands for the rune that ends with an octet: assertions only ask
// whether it is a newline or an ASCII word character.
func runeOf(b byte) rune {
	if b < utf8.RuneSelf {
		return rune(b)
	}
	return utf8.RuneError
}

// peek decodes the rune at the reader; its width is 0 if it is not all here,
// and the rune is -1 if that is because the stream ends.
func (s *pattern) peek(end bool) (r rune, width int) {
	if s.index >= s.kept.len() {
		return -1, 0
	}
	data := s.kept.at(s.index).chunk.Data[s.offset:]
	if data[0] < utf8.RuneSelf {
		return rune(data[0]), 1
	}
	if utf8.FullRune(data) {
		return utf8.DecodeRune(data)
	}
	// It goes on in the next items.
	var whole [utf8.UTFMax]byte
	n := copy(whole[:], data)
	for i := s.index + 1; i < s.kept.len() && n < len(whole); i++ {
		n += copy(whole[n:], s.kept.at(i).chunk.Data)
	}
	if !utf8.FullRune(whole[:n]) && !end {
		return -1, 0
	}
	return utf8.DecodeRune(whole[:n])
}

// forward moves the reader on by n octets that are kept.
func (s *pattern) forward(n int) {
	s.offset += n
	for s.index < s.kept.len() && s.offset >= len(s.kept.at(s.index).chunk.Data) {
		s.offset -= len(s.kept.at(s.index).chunk.Data)
		s.index++
	}
}

// letGo hands on the octets before a position.
func (s *pattern) letGo(p *Pipeline, to uint64, out *queue) {
	for s.at < to {
		data := s.kept.at(0).chunk.Data
		n := int(min(to-s.at, uint64(len(data))))
		s.before = runeOf(data[n-1])
		s.shift(n)
		s.kept.pass(p.pool, n, out)
	}
}

// shift keeps the reader where it is while n octets of the first item go.
func (s *pattern) shift(n int) {
	s.at += uint64(n)
	switch {
	case s.index == 0:
		s.offset -= n
	case n == len(s.kept.at(0).chunk.Data):
		s.index--
	}
}

// replace writes with for the match that was found and goes on behind it.
func (s *pattern) replace(p *Pipeline, out *queue) {
	a := &s.auto
	s.letGo(p, a.from, out)
	s.report.tell(p, a.from, int(a.to-a.from))
	with := s.with
	if s.template != nil {
		with = s.expand()
	}
	for s.at < a.to {
		n := int(min(a.to-s.at, uint64(len(s.kept.at(0).chunk.Data))))
		s.at += uint64(n)
		s.kept.drop(n)
	}
	out.give(p.pool, with)
	s.left--
	s.before = a.prevTo
	s.index, s.offset = 0, 0
	a.restart(a.to, a.prevTo)
}

// expand fills the groups of the match, with which what is kept begins, into
// the template.
func (s *pattern) expand() []byte {
	n := int(s.auto.to - s.auto.from)
	text := make([]byte, 0, n+utf8.UTFMax)
	for i := 0; i < s.kept.len() && len(text) < cap(text); i++ {
		data := s.kept.at(i).chunk.Data
		text = append(text, data[:min(len(data), cap(text)-len(text))]...)
	}
	behind := rune(-1)
	if len(text) > n {
		behind, _ = utf8.DecodeRune(text[n:])
	}
	match := s.auto.groups(text[:n], s.before, behind, s.template.NumSubexp())
	return s.template.Expand(nil, s.with, text[:n], match)
}

// giveUp ends the wait for the rest of a possible match: what was found so far
// holds, and if nothing was, all that is kept passes.
func (s *pattern) giveUp(p *Pipeline, out *queue) {
	if s.auto.found {
		s.replace(p, out)
		s.scan(p, out, false)
		return
	}
	last := s.kept.at(s.kept.len() - 1).chunk.Data
	end := s.at + uint64(s.kept.octets)
	s.auto.restart(end, runeOf(last[len(last)-1]))
	s.index, s.offset = s.kept.len(), 0
	s.letGo(p, end, out)
}
