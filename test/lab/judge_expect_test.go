package lab

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// expectStep wants the next segment to be as described.
func (s *stage) expectStep(l *judgeLeg, text string) {
	w := words(text)
	switch {
	case len(w) == 2 && w[0] == "none":
		s.expectNone(l, s.duration(w[1]))
		return
	case len(w) == 3 && w[0] == "icmp":
		s.expectICMP(l, s.int(w[1]), s.int(w[2]))
		return
	case len(w) >= 1 && w[0] == "drain":
		s.drain(l, w)
		return
	case len(w) < 2:
		s.fail("flags and a number are wanted")
	}
	e := s.parseExpectation(l, w)
	from := l.last
	seg := s.nextOf(l, e)
	if seg == nil {
		s.fail("nothing came within %v", playLimit)
	}
	if why := s.differs(l, e, seg); why != "" {
		s.fail("got %s: %s", l.render(seg), why)
	}
	took := seg.at.Sub(from)
	if e.within > 0 && took > e.within {
		s.fail("it came after %v", took)
	}
	if e.after > 0 && took < e.after {
		s.fail("it came after %v already", took)
	}
	if seg.at.After(l.last) {
		l.last = seg.at
	}
}

// expectation is the description of a segment; a nil field asks for nothing.
type expectation struct {
	flags         int
	seq, end, ack *uint32
	win           string
	urg, tos      *int
	options       *string
	within, after time.Duration
	again         bool
}

func (s *stage) parseExpectation(l *judgeLeg, w []string) *expectation {
	e := &expectation{flags: s.flags(w[0])}
	from, to, ranged := strings.Cut(w[1], ":")
	if from != "*" {
		n := s.number(l, from)
		e.seq = &n
		end := n
		if ranged && to != "*" {
			end = s.number(l, to)
		}
		if e.end = &end; to == "*" {
			e.end = nil
		}
	}
	for i := 2; i < len(w); i++ {
		value := func() string {
			if i++; i >= len(w) {
				s.fail("%s has no value", w[i-1])
			}
			return w[i]
		}
		switch {
		case w[i] == "ack":
			n := s.number(l, value())
			e.ack = &n
		case w[i] == "win":
			e.win = value()
		case w[i] == "urg":
			n := s.int(value())
			e.urg = &n
		case w[i] == "tos":
			n := s.int(value())
			e.tos = &n
		case w[i] == "within":
			e.within = s.duration(value())
		case w[i] == "after":
			e.after = s.duration(value())
		case w[i] == "again":
			e.again = true
		case w[i][0] == '<':
			e.options = &w[i]
		default:
			s.fail("%q is unknown", w[i])
		}
	}
	return e
}

// nextOf returns the next segment that a step is about: one that was sent
// before is passed over unless it is wanted again, and so is a bare ACK of
// less than what is wanted, which only the judge's own pace may have drawn.
func (s *stage) nextOf(l *judgeLeg, e *expectation) *judgeSegment {
	for until := time.Now().Add(playLimit); ; {
		seg := l.next(until)
		if seg == nil || seg.icmp {
			if seg == nil {
				return nil
			}
			continue
		}
		l.mu.Lock()
		text := seg.len() > 0 && seg.flags&fRST == 0
		early := !text && seg.flags&fRST == 0 && e.ack != nil && seg.flags&fACK != 0 &&
			before(seg.ack-l.iss, *e.ack) && e.flags&fRST == 0
		l.mu.Unlock()
		// So is one where text is wanted: when it leaves depends on the judge's
		// pace as well.
		bare := !text && seg.flags == fACK && e.flags&(fFIN|fSYN) != 0 || !text && seg.flags == fACK && e.seq != nil && (e.end == nil || *e.seq != *e.end)
		// What is wanted again may not be the only one that comes again.
		other := e.again && e.seq != nil && seg.seq-l.irs != *e.seq
		if text && seg.repeated && (!e.again || other) || early || bare {
			continue
		}
		return seg
	}
}

func (s *stage) differs(l *judgeLeg, e *expectation, g *judgeSegment) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq, end := g.seq-l.irs, g.seq-l.irs+uint32(len(g.data))
	flags := g.flags &^ fPSH
	if e.flags == fRST {
		flags &^= fACK // a RST may acknowledge, or not
	}
	switch {
	case flags != e.flags&^fPSH:
		return fmt.Sprintf("flags %s, not %s", flagNames(g.flags), flagNames(e.flags))
	case e.seq != nil && g.flags&fRST != 0 && !l.met:
		if g.seq != *e.seq {
			return "another sequence number"
		}
	case e.seq != nil && seq != *e.seq:
		return "another sequence number"
	case e.end != nil && end != *e.end:
		return "another length"
	}
	switch {
	case e.ack != nil && g.flags&fACK != 0 && g.ack-l.iss != *e.ack:
		return "another acknowledgement"
	case e.win != "" && !holds(e.win, int(g.win)):
		return "another window"
	case e.urg != nil && int(g.urg) != *e.urg:
		return "another urgent pointer"
	case e.tos != nil && int(g.tos) != *e.tos:
		return fmt.Sprintf("TOS %d", g.tos)
	case e.options != nil:
		return l.optionsDiffer(*e.options, g)
	}
	return ""
}

// holds compares with n, >n, <n, >=n or <=n.
func holds(rule string, got int) bool {
	digits := strings.TrimLeft(rule, "<>=")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return false
	}
	switch rule[:len(rule)-len(digits)] {
	case ">":
		return got > n
	case "<":
		return got < n
	case ">=":
		return got >= n
	case "<=":
		return got <= n
	}
	return got == n
}

// optionsDiffer wants the same options in any order; * stands for any value.
func (l *judgeLeg) optionsDiffer(want string, g *judgeSegment) string {
	want = strings.Trim(want, "<>")
	var wanted []string
	if want != "" {
		wanted = strings.Split(want, ",")
	}
	if len(wanted) != len(g.options) {
		return fmt.Sprintf("%d options, not %d", len(g.options), len(wanted))
	}
	for _, w := range wanted {
		found := false
		for _, o := range g.options {
			found = found || alike(strings.Fields(w), strings.Fields(l.renderOption(o)))
		}
		if !found {
			return "no option " + w
		}
	}
	return ""
}

func alike(want, got []string) bool {
	if len(want) > len(got) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != got[i] {
			return false
		}
	}
	return len(want) == len(got) || len(want) == 1
}

// expectNone wants silence, but for what was sent before.
func (s *stage) expectNone(l *judgeLeg, d time.Duration) {
	for until := time.Now().Add(d); ; {
		seg := l.next(until)
		if seg == nil {
			return
		}
		if seg.icmp {
			s.fail("got ICMP %d/%d", seg.kind, seg.code)
		}
		if !seg.repeated {
			s.fail("got %s, wanted silence", l.render(seg))
		}
	}
}

func (s *stage) expectICMP(l *judgeLeg, kind, code int) {
	for until := time.Now().Add(playLimit); ; {
		seg := l.next(until)
		if seg == nil {
			s.fail("no ICMP came")
		}
		if seg.icmp {
			if int(seg.kind) != kind || int(seg.code) != code {
				s.fail("got ICMP %d/%d", seg.kind, seg.code)
			}
			return
		}
	}
}

// drain passes over all that comes within a time: drain 100ms.
func (s *stage) drain(l *judgeLeg, w []string) {
	d := 100 * time.Millisecond
	if len(w) > 1 {
		d = s.duration(w[1])
	}
	for until := time.Now().Add(d); ; {
		if l.next(until) == nil {
			return
		}
	}
}

// tsOf returns the timestamps of a segment.
func tsOf(g *judgeSegment) (val, ecr uint32, ok bool) {
	d, ok := g.option(optTS)
	if !ok || len(d) != 8 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:]), true
}
