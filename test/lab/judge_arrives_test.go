package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ruling is what RFC 9293, 3.10.7.4, with RFC 5961 and RFC 1337, has a TCP
// answer at once: one of these.
type ruling int

const (
	noAnswer  ruling = iota // nothing at once; an ACK may be delayed
	answerACK               // <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>
	answerRST               // <SEQ=SEG.ACK><CTL=RST>
	answerSYN               // the SYN-ACK again, or an ACK
	oursAgain               // with the ACK of what came
	tornApart               // the connection ends; nothing need be said
)

func (r ruling) String() string {
	return [...]string{"silence", "an ACK", "a RST", "a SYN-ACK or an ACK", "an ACK of it", "the end"}[r]
}

// standing is a state to bring a leg of the gateway to, and how: the steps end
// in it. x is the judge's leg towards that state, y the other one.
type standing struct {
	name   string
	steps  string
	rcv    uint32 // what the gateway expects of the leg's peer next
	snd    uint32 // what it sends next
	una    uint32 // what it has not got acknowledged
	closed bool   // the peer has sent FIN
	syn    bool   // SYN-RECEIVED
	tw     bool   // TIME-WAIT
}

// standings are all states that a segment can meet, for the client leg.
var clientStandings = []standing{
	{name: "SYN-RECEIVED", rcv: 1, snd: 1, una: 0, syn: true, steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "ESTABLISHED", rcv: 1, snd: 1, una: 1, steps: `open`},
	{name: "FIN-WAIT-1", rcv: 1, snd: 2, una: 1, steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1`},
	{name: "FIN-WAIT-2", rcv: 1, snd: 2, una: 2, steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		c> . 1 ack 2`},
	{name: "CLOSE-WAIT", rcv: 2, snd: 1, una: 1, closed: true, steps: `
		open
		c> F. 1 ack 1
		c< . 1 ack 2`},
	{name: "CLOSING", rcv: 2, snd: 2, una: 1, closed: true, steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		c> F. 1 ack 1
		c< . 2 ack 2`},
	{name: "LAST-ACK", rcv: 2, snd: 2, una: 1, closed: true, steps: `
		open
		c> F. 1 ack 1
		c< . 1 ack 2
		s< F. 1 ack 1
		s> F. 1 ack 2
		c< F. 1 ack 2`},
	{name: "TIME-WAIT", rcv: 2, snd: 2, una: 2, closed: true, tw: true, steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		c> F. 1 ack 2
		c< . 2 ack 2`},
}

// serverStandings are the same for the server leg.
var serverStandings = []standing{
	{name: "ESTABLISHED", rcv: 1, snd: 1, una: 1, steps: `open`},
	{name: "FIN-WAIT-1", rcv: 1, snd: 2, una: 1, steps: `
		open
		c> F. 1 ack 1
		s< F. 1 ack 1`},
	{name: "FIN-WAIT-2", rcv: 1, snd: 2, una: 2, steps: `
		open
		c> F. 1 ack 1
		s< F. 1 ack 1
		s> . 1 ack 2`},
	{name: "CLOSE-WAIT", rcv: 2, snd: 1, una: 1, closed: true, steps: `
		open
		s> F. 1 ack 1
		s< . 1 ack 2`},
	{name: "CLOSING", rcv: 2, snd: 2, una: 1, closed: true, steps: `
		open
		c> F. 1 ack 1
		s< F. 1 ack 1
		s> F. 1 ack 1
		s< . 2 ack 2`},
	{name: "LAST-ACK", rcv: 2, snd: 2, una: 1, closed: true, steps: `
		open
		s> F. 1 ack 1
		s< . 1 ack 2
		c< F. 1 ack 1
		c> F. 1 ack 2
		s< F. 1 ack 2`},
	{name: "TIME-WAIT", rcv: 2, snd: 2, una: 2, closed: true, tw: true, steps: `
		open
		c> F. 1 ack 1
		s< F. 1 ack 1
		s> F. 1 ack 2
		s< . 2 ack 2`},
}

// judged is one segment put to one state.
type judged struct {
	at    *standing
	leg   byte
	flags int
	place string // of its first octet: rcv or edge, with +n or -n
	n     int
	ack   int // from the SND.NXT of the gateway
}

func (j *judged) String() string {
	return fmt.Sprintf("%c %s meets %s at %s, %d octets, ack SND.NXT%+d", j.leg, j.at.name, flagNames(j.flags), j.place, j.n, j.ack)
}

// offsets of places, from RCV.NXT and from the right edge.
var places = []struct {
	name string
	edge bool
	off  int
}{{"rcv-1", false, -1}, {"rcv", false, 0}, {"rcv+1", false, 1}, {"edge-1", true, -1}, {"edge", true, 0}, {"edge+1", true, 1}}

// rule is RFC 9293, 3.10.7.4 as a function. wnd is the window.
func (j *judged) rule(wnd uint32) ruling {
	w := j.at
	first := int64(w.rcv)
	for _, p := range places {
		if p.name == j.place {
			if first += int64(p.off); p.edge {
				first += int64(wnd)
			}
		}
	}
	has := func(f int) bool { return j.flags&f != 0 }
	length := int64(j.n)
	if has(fSYN) {
		length++
	}
	if has(fFIN) {
		length++
	}
	rcv, edge := int64(w.rcv), int64(w.rcv)+int64(wnd)
	in := func(x int64) bool { return rcv <= x && x < edge }
	if w.syn && has(fSYN) && !has(fRST) && first == rcv-1 {
		return answerSYN // the SYN again; the letter has an ACK
	}
	acceptable := length == 0 && in(first) || length > 0 && (in(first) || in(first+length-1))
	switch {
	case !acceptable && has(fRST):
		return noAnswer
	case !acceptable:
		return answerACK
	case has(fRST) && w.tw:
		return noAnswer // RFC 1337; RFC 9293 would end TIME-WAIT
	case has(fRST) && first == rcv:
		return tornApart
	case has(fRST):
		return answerACK // RFC 5961, 3.2
	case has(fSYN) && w.syn:
		return tornApart // back to LISTEN
	case has(fSYN):
		return answerACK // RFC 5961, 4.2
	case !has(fACK):
		return noAnswer
	case w.syn && j.ack != 0:
		return answerRST
	case j.ack > 0:
		return answerACK
	case w.name == "LAST-ACK" && j.ack == 0:
		return tornApart
	case w.closed && has(fFIN):
		return answerACK
	case w.closed:
		return noAnswer
	case has(fFIN) || j.n > 0:
		return oursAgain
	}
	return noAnswer
}

// cases are the segments that are put to a state.
func (w *standing) cases(leg byte, yield func(judged)) {
	for _, flags := range []int{0, fACK, fFIN, fFIN | fACK, fSYN, fSYN | fACK, fRST, fRST | fACK, fSYN | fFIN | fACK,
		fSYN | fRST, fFIN | fPSH | fURG, fACK | fURG, fSYN | fFIN | fRST | fPSH | fACK | fURG | fECE | fCWR} {
		for _, p := range places {
			for _, n := range []int{0, 1} {
				for _, ack := range []int{0, 1} {
					if ack == 1 && (flags&fACK == 0 || p.name != "rcv") {
						continue
					}
					if leg == 's' && flags&(fSYN|fACK|fRST|fFIN) == fSYN {
						continue // the firewall cannot tell it from a new connection
					}
					yield(judged{w, leg, flags, p.name, n, ack})
				}
			}
		}
	}
}

// arrivesWait is for how long an answer that should not come is waited for;
// one that should is waited for much longer.
const arrivesWait = 150 * time.Millisecond

// put does one case and tells what was wrong.
func (s *stage) put(j *judged) {
	l := s.leg(j.leg)
	s.drain(l, []string{"drain", "60ms"}) // a delayed ACK
	l.mu.Lock()
	wnd := l.edge - l.nxt
	first := l.iss + j.at.rcv
	for _, p := range places {
		if p.name == j.place {
			if first += uint32(p.off); p.edge {
				first += wnd
			}
		}
	}
	p := &judgePacket{flags: j.flags, seq: first, win: 60000, data: l.pattern(first-l.iss, j.n)}
	if j.flags&fACK != 0 {
		p.ack = l.irs + j.at.snd + uint32(j.ack)
	}
	l.mu.Unlock()
	want := j.rule(wnd)
	if err := l.send(p, fmt.Sprintf("%s %d:%d ack %d", flagNames(j.flags), first-l.iss, first-l.iss+uint32(j.n), p.ack-l.irs)); err != nil {
		s.fail("%v", err)
	}
	s.line = fmt.Sprintf("%v: wanted %v", j, want)
	wait := arrivesWait
	if want == answerACK || want == answerRST || want == answerSYN || want == oursAgain {
		wait = playLimit
	}
	got := s.answer(l, wait, want == answerSYN)
	switch {
	case got == nil && (want == noAnswer || want == tornApart):
	case got == nil:
		s.fail("nothing came")
	case want == noAnswer || want == tornApart && got.flags&fRST == 0:
		s.fail("got %s", l.render(got))
	case want == answerRST:
		if got.flags&^fACK != fRST || got.seq != p.ack {
			s.fail("got %s", l.render(got))
		}
	case want == answerACK || want == oursAgain:
		next := j.at.rcv
		if want == oursAgain {
			next = s.taken(j)
		}
		if got.flags&^fPSH != fACK || got.seq-l.irs != j.at.snd || got.ack-l.iss != next || len(got.data) > 0 {
			s.fail("got %s, wanted ack %d", l.render(got), next)
		}
	case want == answerSYN:
		if got.flags&^fPSH != fACK && got.flags != fSYN|fACK {
			s.fail("got %s", l.render(got))
		}
	}
}

// taken is the RCV.NXT after an acceptable segment with text or FIN.
func (s *stage) taken(j *judged) uint32 {
	if j.place == "rcv-1" && (j.n == 1 && j.flags&fFIN != 0) {
		return j.at.rcv + 1 // the octet is old, the FIN is not
	}
	if j.place != "rcv" {
		return j.at.rcv
	}
	next := j.at.rcv + uint32(j.n)
	if j.flags&fFIN != 0 {
		next++
	}
	return next
}

// answer is the next segment, nil if none comes; a retransmission is one only
// if it may come again.
func (s *stage) answer(l *judgeLeg, wait time.Duration, again bool) *judgeSegment {
	for until := time.Now().Add(wait); ; {
		g := l.next(until)
		if g == nil || !g.icmp && (again || !g.repeated) {
			return g
		}
	}
}

// arrivals makes plays of all cases of some states.
func arrivalPlays(leg byte, states []standing) []play {
	var all []play
	for i := range states {
		w := &states[i]
		w.cases(leg, func(j judged) {
			all = append(all, play{
				name:  strings.ReplaceAll(j.String(), "/", "-"),
				steps: w.steps, after: func(s *stage) { s.put(&j) },
				// The flags are the judge's own.
				known: []string{"acknowledges", "octet "},
			})
		})
	}
	return all
}

// judgeArrivals puts every segment to every state of both legs.
func judgeArrivals(t *testing.T, c *judgeCourt) {
	t.Run("client", func(t *testing.T) { c.judge(t, arrivalPlays('c', clientStandings)) })
	t.Run("server", func(t *testing.T) { c.judge(t, arrivalPlays('s', serverStandings)) })
}
