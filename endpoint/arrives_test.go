package endpoint

import (
	"fmt"
	"testing"
	"time"
)

// situation is a connection before one more segment arrives. Numbers count
// from the initial ones: the next octet of the peer, the window that it was
// told, what of ours is acknowledged and what was sent.
type situation struct {
	name          string
	state         State
	passive       bool
	rcv, wnd      int
	una, snd      int
	peerHasClosed bool
}

// arrival is the segment, its numbers counting from the initial ones too.
type arrival struct {
	flags       Flags
	seq, ack, n int
}

func (a arrival) length() int {
	n := a.n
	if a.flags.Has(SYN) {
		n++
	}
	if a.flags.Has(FIN) {
		n++
	}
	return n
}

func (a arrival) String() string {
	return fmt.Sprintf("%s %d:%d(%d) ack %d", a.flags, a.seq, a.seq+a.n, a.n, a.ack)
}

// outcome is what must follow at once: a segment, or none; the state; the
// next octet that is wanted.
type outcome struct {
	answer string
	state  State
	rcv    int
}

// By the window of the peer's segments, 500 octets, an ACK may be too old.
const largestWindow = 500

// segmentArrives is RFC 9293, 3.10.7.4 ("OTHER STATES") with RFC 5961 and RFC
// 1337, written down a second time: as a function of what is known before,
// without any of the code under test. Where the endpoint departs from the
// letter, so does this, and the comment says so.
func segmentArrives(w situation, s arrival) outcome {
	edge := w.rcv + w.wnd
	stay := func(answer string) outcome { return outcome{answer, w.state, w.rcv} }
	ackNow := func(rcv int) string { return fmt.Sprintf(". %d ack %d", w.snd, rcv) }

	// A retransmitted SYN in SYN-RECEIVED: the SYN-ACK again (the letter: an
	// ACK). The SYN-ACK of a simultaneous open: its SYN is known already.
	repeated := w.state == SynReceived && s.flags.Has(SYN) && s.seq == w.rcv-1
	if repeated && !s.flags.Has(RST) {
		switch {
		case !s.flags.Has(ACK):
			return stay("S. 0 ack 1")
		case w.passive || s.ack != w.snd:
			return stay(ackNow(w.rcv))
		}
		s.flags &^= SYN
		s.seq++
	}

	// First, check the sequence number.
	first, last := s.seq, s.seq+s.length()-1
	in := func(n int) bool { return w.rcv <= n && n < edge }
	var ok bool
	switch {
	case s.length() == 0 && w.wnd == 0:
		ok = first == w.rcv
	case s.length() == 0:
		ok = in(first)
	case w.wnd == 0:
		// Not acceptable, but for its ACK, RST and a FIN that needs no room.
		ok = first == w.rcv
	default:
		// And, beyond the letter, what covers the whole window.
		ok = in(first) || in(last) || first < w.rcv && last >= edge
	}
	if !ok {
		if s.flags.Has(RST) {
			return stay("")
		}
		return stay(ackNow(w.rcv))
	}

	// Second, check the RST bit (RFC 5961, 3.2; RFC 1337 in TIME-WAIT).
	if s.flags.Has(RST) {
		switch {
		case w.state == TimeWait:
			return stay("")
		case s.seq == w.rcv:
			return outcome{"", Closed, w.rcv}
		}
		return stay(ackNow(w.rcv))
	}

	// Fourth, check the SYN bit (RFC 5961, 4.2).
	if s.flags.Has(SYN) {
		if w.state == SynReceived && w.passive {
			return outcome{"", Closed, w.rcv} // LISTEN, for a listener
		}
		return stay(ackNow(w.rcv))
	}

	// Fifth, check the ACK field (RFC 5961, 5.2).
	if !s.flags.Has(ACK) {
		return stay("")
	}
	state := w.state
	switch {
	case state == SynReceived && !(w.una < s.ack && s.ack <= w.snd):
		return stay(fmt.Sprintf("R %d", s.ack))
	case s.ack > w.snd, s.ack < w.una-largestWindow:
		return stay(ackNow(w.rcv))
	case s.ack == w.snd && w.una < w.snd:
		state = afterACK(state)
	}
	if state == Closed {
		return outcome{"", Closed, w.rcv}
	}

	// Seventh, process the segment text, and eighth, check the FIN bit.
	fin := s.flags.Has(FIN)
	if w.peerHasClosed {
		if fin {
			return outcome{ackNow(w.rcv), state, w.rcv}
		}
		return outcome{"", state, w.rcv}
	}
	if s.n == 0 && !fin {
		return outcome{"", state, w.rcv}
	}
	end := s.seq + s.n // of the text
	cut := end > edge
	if cut {
		end, fin = edge, false
	}
	if s.seq > w.rcv || cut && end <= w.rcv {
		// Out of order, or nothing fits.
		return outcome{ackNow(w.rcv), state, w.rcv}
	}
	rcv := max(w.rcv, end)
	if fin {
		return outcome{ackNow(rcv + 1), afterFIN(state), rcv + 1}
	}
	if cut {
		return outcome{ackNow(rcv), state, rcv}
	}
	return outcome{"", state, rcv} // the ACK is delayed
}

// situations makes an endpoint in each state after LISTEN and SYN-SENT, with
// an open window and, where it can be, a shut one.
func situations() []struct {
	situation
	make func(t *testing.T) (*Endpoint, Time)
} {
	type made = struct {
		situation
		make func(t *testing.T) (*Endpoint, Time)
	}
	var all []made
	add := func(w situation, steps ...step) {
		all = append(all, made{w, func(t *testing.T) (*Endpoint, Time) {
			return arrivalEndpoint(t, w, steps)
		}})
	}
	add(situation{"passive", SynReceived, true, 1, 1000, 0, 1, false}, syn)
	add(situation{"active", SynReceived, false, 1, 1000, 0, 1, false}, syn)
	for _, n := range []int{0, 1000} {
		name, wnd := "window open", 1000-n
		if n > 0 {
			name = "window shut"
		}
		open := []step{syn, ack(1, 1)}
		if n > 0 {
			open = append(open, arrive(ACK, 1, 1, n))
		}
		rcv := 1 + n
		with := func(more ...step) []step { return append(open[:len(open):len(open)], more...) }
		add(situation{name, Established, true, rcv, wnd, 1, 1, false}, open...)
		add(situation{name, FinWait1, true, rcv, wnd, 1, 2, false}, with(closeWrite)...)
		add(situation{name, FinWait2, true, rcv, wnd, 2, 2, false}, with(closeWrite, ack(rcv, 2))...)
		add(situation{name, CloseWait, true, rcv + 1, wnd, 1, 1, true}, with(fin(rcv, 1))...)
		add(situation{name, Closing, true, rcv + 1, wnd, 1, 2, true}, with(closeWrite, fin(rcv, 1))...)
		add(situation{name, LastAck, true, rcv + 1, wnd, 1, 2, true}, with(fin(rcv, 1), closeWrite)...)
		add(situation{name, TimeWait, true, rcv + 1, wnd, 2, 2, true}, with(closeWrite, fin(rcv, 2))...)
	}
	return all
}

func arrivalEndpoint(t *testing.T, w situation, steps []step) (*Endpoint, Time) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.ReceiveBuffer = 1000
	o := Open{ISS: testISS, MSS: 1000, MTU: 1500, WindowScale: -1}
	now := Time(time.Second)
	var e *Endpoint
	if w.passive {
		e = NewPassive(&cfg, o)
	} else {
		e = NewActive(now, &cfg, o)
		sent(t, e, now)
	}
	for _, s := range steps {
		s(e, now)
		sent(t, e, now)
		now = now.Add(time.Millisecond)
	}
	if e.ack.at != Never {
		now = e.ack.at
		e.HandleTimeout(now)
		sent(t, e, now)
	}
	if e.State() != w.state || e.rcv.nxt != testIRS.Plus(w.rcv) || e.rcv.nxt.To(e.rcv.edge) != w.wnd ||
		e.snd.nxt != testISS.Plus(w.snd) || e.snd.una != testISS.Plus(w.una) {
		t.Fatalf("%s %s: in %s with rcv.nxt %d, window %d, snd.una %d, snd.nxt %d", w.state, w.name, e.State(), testIRS.To(e.rcv.nxt),
			e.rcv.nxt.To(e.rcv.edge), testISS.To(e.snd.una), testISS.To(e.snd.nxt))
	}
	return e, now
}

// arrivals are all combinations of flags (but PSH, which asks for nothing),
// with no, a little and too much text, around both edges of the window, with
// ACKs from long ago to too early.
func arrivals(w situation, yield func(arrival)) {
	seqs := []int{w.rcv - 1<<30, w.rcv - 2, w.rcv - 1, w.rcv, w.rcv + 1,
		w.rcv + w.wnd - 1, w.rcv + w.wnd, w.rcv + w.wnd + 1, w.rcv + 1<<30}
	acks := []int{w.snd, w.una, w.una - 1, w.una - largestWindow, w.una - largestWindow - 1, w.snd + 1, w.snd + 1<<30}
	for flags := range Flags(64) {
		if flags.Has(PSH) {
			continue
		}
		for _, seq := range seqs {
			for _, n := range []int{0, 1, 10, 1100} {
				for i, ack := range acks {
					if i > 0 && !flags.Has(ACK) {
						break
					}
					yield(arrival{flags, seq, ack, n})
				}
			}
		}
	}
}

// TestSegmentArrivesByTheLetter puts every such segment to an endpoint in
// every state and compares with the RFC's procedure.
func TestSegmentArrivesByTheLetter(t *testing.T) {
	for _, w := range situations() {
		t.Run(fmt.Sprintf("%s, %s", w.state, w.name), func(t *testing.T) {
			wrong, n := 0, 0
			arrivals(w.situation, func(a arrival) {
				n++
				e, now := w.make(t)
				arrive(a.flags, a.seq, a.ack, a.n)(e, now)
				got := outcome{sent(t, e, now), e.State(), testIRS.To(e.rcv.nxt)}
				if want := segmentArrives(w.situation, a); got != want {
					if wrong++; wrong <= 20 {
						t.Errorf("%s:\ngot  %+v,\nwant %+v", a, got, want)
					}
				}
			})
			t.Logf("%d segments", n)
		})
	}
}

// beforeTheHandshake is RFC 9293, 3.10.7.1 to 3.10.7.3, with RFC 5961, 3.2:
// what CLOSED, LISTEN and SYN-SENT answer. Numbers count as above; ours of a
// SYN that was sent is 0, so that 1 acknowledges it.
func beforeTheHandshake(state State, s arrival) (answer string, next State) {
	reset := fmt.Sprintf("R. %d ack %d", testISS.To(0), s.seq+s.length()) // <SEQ=0>
	if s.flags.Has(ACK) {
		reset = fmt.Sprintf("R %d", s.ack)
	}
	switch state {
	case Closed:
		if s.flags.Has(RST) {
			return "", Closed
		}
		return reset, Closed
	case Listen:
		switch {
		case s.flags.Has(RST):
			return "", Listen
		case s.flags.Has(ACK):
			return reset, Listen
		case s.flags.Has(SYN):
			return fmt.Sprintf("S. 0 ack %d", s.seq+1), SynReceived
		}
		return "", Listen
	}
	switch {
	case s.flags.Has(ACK) && s.ack != 1 && s.flags.Has(RST):
		return "", SynSent
	case s.flags.Has(ACK) && s.ack != 1 && s.flags.Has(SYN):
		return reset, SynSent
	case s.flags.Has(ACK) && s.ack != 1:
		// The letter ends with the RST; an old connection being ended by it,
		// the SYN goes again at once.
		return reset + ", S 0 ack " + fmt.Sprint(testIRS.To(0)), SynSent
	case s.flags.Has(RST) && s.flags.Has(ACK):
		return "", Closed
	case s.flags.Has(RST), !s.flags.Has(SYN):
		return "", SynSent
	case !s.flags.Has(ACK):
		return fmt.Sprintf("S. 0 ack %d", s.seq+1), SynReceived
	case s.flags.Has(FIN):
		return fmt.Sprintf(". 1 ack %d", s.seq+s.n+2), CloseWait
	}
	return fmt.Sprintf(". 1 ack %d", s.seq+s.n+1), Established
}

// TestSegmentArrivesBeforeTheHandshake puts all combinations of flags, with
// and without text, to the first three states.
func TestSegmentArrivesBeforeTheHandshake(t *testing.T) {
	cfg := DefaultConfig()
	o := Open{ISS: testISS, MSS: 1000, MTU: 1500, WindowScale: -1}
	now := Time(time.Second)
	for _, state := range []State{Closed, Listen, SynSent} {
		for flags := range Flags(64) {
			for _, n := range []int{0, 10} {
				for _, ack := range []int{1, 0, 2, -1 << 30} {
					var e *Endpoint
					switch state {
					case SynSent:
						e = NewActive(now, &cfg, o)
						sent(t, e, now)
					default:
						e = NewPassive(&cfg, o)
					}
					if state == Closed {
						e.Abort(now)
					}
					a := arrival{flags, 500, ack, n}
					arrive(a.flags, a.seq, a.ack, a.n)(e, now)
					got, next := sent(t, e, now), e.State()
					if want, wantNext := beforeTheHandshake(state, a); got != want || next != wantNext {
						t.Errorf("%s meets %s:\nanswers %q and is in %s,\nwanted  %q and %s", state, a, got, next, want, wantNext)
					}
				}
			}
		}
	}
}
