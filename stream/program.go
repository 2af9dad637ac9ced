package stream

import (
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// program is a regular expression for an automaton that reads octets as they
// come. Go's own matcher wants the whole text at once and cannot say whether
// more of it would change the answer; the parser and the compiler, however,
// are the same, and so is what matches.
type program struct {
	inst  []syntax.Inst
	start uint32
	// first tells with which octets a match can begin; only is the one octet,
	// if it is only one.
	first [256]bool
	only  int // -1: several
}

func compile(re *regexp.Regexp) (*program, error) {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	g := &program{inst: prog.Inst, start: uint32(prog.Start), only: -1}
	g.findFirst(g.start, make([]bool, len(g.inst)))
	n := 0
	for b, ok := range g.first {
		if ok {
			n++
			g.only = b
		}
	}
	if n != 1 {
		g.only = -1
	}
	return g, nil
}

// findFirst notes the octets with which a match from pc on can begin.
func (g *program) findFirst(pc uint32, seen []bool) {
	if seen[pc] {
		return
	}
	seen[pc] = true
	i := &g.inst[pc]
	switch i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		g.findFirst(i.Out, seen)
		g.findFirst(i.Arg, seen)
	case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
		g.findFirst(i.Out, seen)
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		for b := range utf8.RuneSelf {
			if i.MatchRune(rune(b)) {
				g.first[b] = true
			}
		}
		if !beyondASCII(i) {
			return
		}
		for b := utf8.RuneSelf; b < 256; b++ {
			g.first[b] = true
		}
	}
}

// beyondASCII tells whether an instruction may match a rune that takes more
// than one octet, or an octet that is no rune.
func beyondASCII(i *syntax.Inst) bool {
	switch {
	case i.Op == syntax.InstRuneAny || i.Op == syntax.InstRuneAnyNotNL:
		return true
	case syntax.Flags(i.Arg)&syntax.FoldCase != 0:
		return true // the Kelvin sign is a k
	}
	for _, r := range i.Rune {
		if r >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// What an assertion needs to know of the rune that follows.
const ofNext = syntax.EmptyEndLine | syntax.EmptyEndText | syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary

// thread is a way in which what has been read since start can be the beginning
// of a match.
type thread struct {
	pc    uint32
	start uint64
}

// automaton runs a program over a stream (Pike's construction: all ways at
// once, in the order in which a backtracking matcher would try them).
type automaton struct {
	*program
	pos  uint64 // how far the stream has been read
	prev rune   // the rune before pos; -1 at the very beginning

	// cur are the threads that wait for the rune at pos, the preferred ones
	// first. While ready is false they are not known yet, and raw are those
	// from which they follow.
	raw, cur []thread
	ready    bool
	visited  []uint32 // for each instruction, the round in which it was reached
	round    uint32

	found    bool // a match from from to to, unless a thread of cur has a better one
	from, to uint64
	prevTo   rune // the rune before to

	cut, blocked bool // of the present closure
}

// restart makes the automaton look for a match that begins at pos or later.
func (a *automaton) restart(pos uint64, prev rune) {
	a.pos, a.prev = pos, prev
	a.raw, a.cur = a.raw[:0], a.cur[:0]
	a.ready, a.found = false, false
}

// idle tells that no match has begun.
func (a *automaton) idle() bool { return !a.ready && len(a.raw) == 0 && !a.found }

// needed is the position from which on octets may still be part of a match.
func (a *automaton) needed() uint64 {
	at := a.pos
	if a.found {
		at = min(at, a.from)
	}
	list := a.raw
	if a.ready {
		list = a.cur
	}
	for _, t := range list {
		at = min(at, t.start)
	}
	return at
}

// follow finds the threads at pos. next is the rune there: -1 if the stream
// ends, and if known is false, nobody knows yet. It tells whether it could do
// without knowing.
func (a *automaton) follow(next rune, known bool) bool {
	if a.ready {
		return true
	}
	if a.visited == nil {
		a.visited = make([]uint32, len(a.inst))
	}
	if a.round++; a.round == 0 {
		clear(a.visited)
		a.round = 1
	}
	found, from, to, prevTo := a.found, a.from, a.to, a.prevTo
	flags := syntax.EmptyOpContext(a.prev, next)
	a.cur, a.cut, a.blocked = a.cur[:0], false, false
	for _, t := range a.raw {
		a.add(t.pc, t.start, flags, known)
		if a.cut {
			break
		}
	}
	if !a.found && !a.cut {
		a.add(a.start, a.pos, flags, known)
	}
	if a.blocked {
		a.found, a.from, a.to, a.prevTo = found, from, to, prevTo
		return false
	}
	a.raw, a.ready = a.raw[:0], true
	return true
}

// add follows all that needs no rune from pc on.
func (a *automaton) add(pc uint32, start uint64, flags syntax.EmptyOp, known bool) {
	if a.cut || a.visited[pc] == a.round {
		return
	}
	a.visited[pc] = a.round
	i := &a.inst[pc]
	switch i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		a.add(i.Out, start, flags, known)
		a.add(i.Arg, start, flags, known)
	case syntax.InstCapture, syntax.InstNop:
		a.add(i.Out, start, flags, known)
	case syntax.InstEmptyWidth:
		op := syntax.EmptyOp(i.Arg)
		if !known && op&ofNext != 0 {
			a.blocked = true
		} else if op&^flags == 0 {
			a.add(i.Out, start, flags, known)
		}
	case syntax.InstMatch:
		// Less preferred ways are out. A match of nothing is none.
		a.cut = true
		if start < a.pos {
			a.found, a.from, a.to, a.prevTo = true, start, a.pos, a.prev
		}
	case syntax.InstFail:
	default:
		a.cur = append(a.cur, thread{pc, start})
	}
}

// step reads a rune of so many octets. A thread whose match has become longer
// than maxMatch ends.
func (a *automaton) step(r rune, width int) {
	a.pos += uint64(width)
	a.raw = a.raw[:0]
	for _, t := range a.cur {
		if i := &a.inst[t.pc]; a.pos-t.start <= maxMatch && i.MatchRune(r) {
			a.raw = append(a.raw, thread{i.Out, t.start})
		}
	}
	a.cur, a.ready, a.prev = a.cur[:0], false, r
}
