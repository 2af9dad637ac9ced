package lab

import (
	"fmt"
	"testing"
	"time"
)

// What it takes to shut the gateway's window: a peer on the other leg that
// takes nothing, and both of the gateway's buffers full.
const (
	fillSegment = 1000     // octets
	fillMost    = 24 << 20 // by then the window must have shut
	fillStill   = 700 * time.Millisecond
	drainLimit  = 30 * time.Second
)

// fill sends for as long as the gateway's window allows and returns the number
// of the octet after the last.
func (s *stage) fill(l *judgeLeg, ack uint32) uint32 {
	next := uint32(1)
	for still := time.Now().Add(fillStill); time.Now().Before(still) && next < fillMost; {
		l.mu.Lock()
		room := l.edge - l.iss - next
		l.inbox = l.inbox[:0]
		l.mu.Unlock()
		if room < fillSegment || room > 1<<30 {
			time.Sleep(time.Millisecond)
			continue
		}
		still = time.Now().Add(fillStill)
		p := &judgePacket{flags: fACK, seq: l.iss + next, ack: l.irs + ack, win: 65535, data: l.pattern(next, fillSegment)}
		l.stamp(p)
		if err := l.send(p, fmt.Sprintf(". %d:%d", next, next+fillSegment)); err != nil {
			s.fail("%v", err)
		}
		next += fillSegment
	}
	if next >= fillMost {
		s.fail("%d octets did not shut the window", next)
	}
	return next
}

// empty acknowledges all that comes until it has come up to a number.
func (s *stage) empty(l *judgeLeg, end uint32) {
	for until := time.Now().Add(drainLimit); ; {
		l.mu.Lock()
		have := l.whole
		l.mu.Unlock()
		p := &judgePacket{flags: fACK, seq: l.iss + 1, ack: l.irs + have, win: 65535}
		l.stamp(p)
		if err := l.send(p, fmt.Sprintf(". 1 ack %d", have)); err != nil {
			s.fail("%v", err)
		}
		if have >= end {
			return
		}
		if time.Now().After(until) {
			s.fail("of %d octets %d came", end, have)
		}
		if l.next(time.Now().Add(100*time.Millisecond)) != nil {
			l.mu.Lock()
			l.inbox = l.inbox[:0]
			l.mu.Unlock()
		}
	}
}

// shutWindow lets from send until the gateway's window is shut because to
// takes nothing: then probes are answered, what lies beyond is not taken, and
// when to takes again, from is told without having asked.
func shutWindow(from, to byte) func(s *stage) {
	return func(s *stage) {
		f, t := s.leg(from), s.leg(to)
		s.script(fmt.Sprintf("%c> . 1 ack 1 win 0", to), "wait 50ms")
		end := s.fill(f, 1)
		s.line = fmt.Sprintf("the window after %d octets", end-1)
		s.drain(f, []string{"drain", "60ms"})
		f.mu.Lock()
		left := f.edge - f.iss - end
		f.mu.Unlock()
		if left > 0 {
			s.script(fmt.Sprintf("%c> . %d:%d ack 1", from, end, end+left), "wait 60ms", fmt.Sprintf("%c< drain 60ms", from))
			end += left
		}
		s.script(
			// A probe of one octet, and one of none, are answered: 0.
			fmt.Sprintf("%c> . %d:%d ack 1", from, end, end+1),
			fmt.Sprintf("%c< . 1 ack %d win 0", from, end),
			fmt.Sprintf("%c> . %d ack 1", from, end-1),
			fmt.Sprintf("%c< . 1 ack %d win 0", from, end),
			// Beyond a shut window even a RST is not heard, nor text.
			fmt.Sprintf("%c> R %d", from, end+1),
			fmt.Sprintf("%c< none 100ms", from),
			fmt.Sprintf("%c> . %d:%d ack 1", from, end+1, end+101),
			fmt.Sprintf("%c< . 1 ack %d win 0", from, end),
		)
		s.drain(f, []string{"drain", "30ms"})
		s.line = "the other side takes what there is"
		s.empty(t, end)
		s.line = "the window opens again by itself"
		if g := f.next(time.Now().Add(playLimit)); g == nil {
			s.fail("no window update came")
		}
		time.Sleep(100 * time.Millisecond)
		f.mu.Lock()
		room := f.edge - f.iss - end
		f.inbox = f.inbox[:0]
		f.mu.Unlock()
		if room < fillSegment {
			s.fail("a window of %d octets only", room)
		}
		s.script(
			fmt.Sprintf("%c> P. %d:%d ack 1", from, end, end+500),
			fmt.Sprintf("%c< . %d:%d", to, end, end+500),
		)
	}
}

// windowPlays shut both windows, with and without scaling.
func windowPlays() []play {
	var all []play
	for _, o := range []string{"<mss 1400>", "<mss 1400,ws 4,ts,sackOK>"} {
		for _, x := range []string{"cs", "sc"} {
			all = append(all, play{
				name:  fmt.Sprintf("%c fills until the window shuts, %s", x[0], o),
				steps: "open C=" + o, after: shutWindow(x[0], x[1]),
			})
		}
	}
	return all
}

func judgeWindows(t *testing.T, c *judgeCourt) { c.judge(t, windowPlays()) }
