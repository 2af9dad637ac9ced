package stream

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// groups finds what the parentheses of a program have matched in a text that
// the program matches as a whole, with one rune before it and one behind (-1:
// none): pairs of positions in text, -1 for a group that took no part. It is
// the second reading of the text; most replacements need none.
type groups struct {
	*program
	text    []byte
	pos     int
	flags   syntax.EmptyOp
	next    []branch
	visited []bool
	cut     bool
	best    []int
}

// branch is a thread that remembers where its groups begin and end.
type branch struct {
	pc  uint32
	cap []int
}

func (g *program) groups(text []byte, before, behind rune, n int) []int {
	s := groups{program: g, text: text, visited: make([]bool, len(g.inst))}
	cap := make([]int, 2*(n+1))
	for i := range cap {
		cap[i] = -1
	}
	list := []branch{{g.start, cap}}
	prev := before
	for {
		r, width := behind, 0
		if s.pos < len(text) {
			r, width = utf8.DecodeRune(text[s.pos:])
		}
		s.flags, s.cut, s.next = syntax.EmptyOpContext(prev, r), false, s.next[:0]
		clear(s.visited)
		for _, b := range list {
			if s.add(b.pc, b.cap); s.cut {
				break
			}
		}
		if width == 0 || len(s.next) == 0 {
			return s.best
		}
		list = list[:0]
		for _, b := range s.next {
			if i := &g.inst[b.pc]; i.MatchRune(r) {
				list = append(list, branch{i.Out, b.cap})
			}
		}
		s.pos += width
		prev = r
	}
}

func (s *groups) add(pc uint32, cap []int) {
	if s.cut || s.visited[pc] {
		return
	}
	s.visited[pc] = true
	i := &s.inst[pc]
	switch i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		s.add(i.Out, cap)
		s.add(i.Arg, cap)
	case syntax.InstNop:
		s.add(i.Out, cap)
	case syntax.InstCapture:
		if int(i.Arg) < len(cap) {
			cap = slices.Clone(cap)
			cap[i.Arg] = s.pos
		}
		s.add(i.Out, cap)
	case syntax.InstEmptyWidth:
		if syntax.EmptyOp(i.Arg)&^s.flags == 0 {
			s.add(i.Out, cap)
		}
	case syntax.InstMatch:
		s.cut = true
		if s.pos == len(s.text) {
			s.best = slices.Clone(cap)
			s.best[0], s.best[1] = 0, s.pos
		}
	case syntax.InstFail:
	default:
		s.next = append(s.next, branch{pc, cap})
	}
}
