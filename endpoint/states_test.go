package endpoint

import (
	"fmt"
	"testing"
	"time"
)

// stateScripts bring an endpoint into a state: ours is iss+1 or, after a FIN,
// iss+2; the peer's next octet is 1 or, after its FIN, 2. The window that we
// told is 1000.
var stateScripts = []struct {
	state State
	rcv   int // RCV.NXT
	snd   int // SND.NXT
	steps []step
}{
	{SynReceived, 1, 1, []step{syn}},
	{Established, 1, 1, []step{syn, ack(1, 1)}},
	{FinWait1, 1, 2, []step{syn, ack(1, 1), closeWrite}},
	{FinWait2, 1, 2, []step{syn, ack(1, 1), closeWrite, ack(1, 2)}},
	{CloseWait, 2, 1, []step{syn, ack(1, 1), fin(1, 1)}},
	{Closing, 2, 2, []step{syn, ack(1, 1), closeWrite, fin(1, 1)}},
	{LastAck, 2, 2, []step{syn, ack(1, 1), fin(1, 1), closeWrite}},
	{TimeWait, 2, 2, []step{syn, ack(1, 1), closeWrite, fin(1, 2)}},
}

type step func(e *Endpoint, now Time)

const (
	testISS = Seq(0xfffffffe) // so that all that follows wraps
	testIRS = Seq(0x7ffffffe)
)

func arrive(f Flags, seq, ack, n int) step {
	return func(e *Endpoint, now Time) {
		e.HandleSegment(now, &Segment{Flags: f, Seq: testIRS.Plus(seq), Ack: testISS.Plus(ack), Window: 500, Payload: make([]byte, n)})
	}
}

var (
	syn step = func(e *Endpoint, now Time) {
		e.HandleSegment(now, &Segment{Flags: SYN, Seq: testIRS, Window: 500, Options: Options{Has: HasMSS, MSS: 1000}})
	}
	closeWrite step = func(e *Endpoint, now Time) { e.CloseWrite(now) }
)

func ack(seq, n int) step { return arrive(ACK, seq, n, 0) }
func fin(seq, n int) step { return arrive(ACK|FIN, seq, n, 0) }

// inState makes an endpoint in the state of row i, with nothing left to send.
func inState(t *testing.T, i int) (*Endpoint, Time) {
	t.Helper()
	row := stateScripts[i]
	cfg := DefaultConfig()
	cfg.ReceiveBuffer = 1000
	o := Open{ISS: testISS, MSS: 1000, MTU: 1500, WindowScale: -1}
	e := NewPassive(&cfg, o)
	now := Time(time.Second)
	for _, s := range row.steps {
		s(e, now)
		sent(t, e, now)
		now = now.Add(time.Millisecond)
	}
	if e.State() != row.state || e.rcv.nxt != testIRS.Plus(row.rcv) || e.snd.nxt != testISS.Plus(row.snd) {
		t.Fatalf("in %s with rcv.nxt %d and snd.nxt %d, wanted %s, %d, %d", e.State(), testIRS.To(e.rcv.nxt), testISS.To(e.snd.nxt), row.state, row.rcv, row.snd)
	}
	e.TakeEvents()
	return e, now
}

// sent polls what leaves, as text.
func sent(t *testing.T, e *Endpoint, now Time) string {
	t.Helper()
	var s Segment
	text := ""
	for n := 0; e.PollSegment(now, &s); n++ {
		if n > 10 {
			t.Fatal("sends without end")
		}
		if text != "" {
			text += ", "
		}
		text += s.Flags.String()
		if s.Flags.Has(RST) && !s.Flags.Has(ACK) {
			text += fmt.Sprintf(" %d", testISS.To(s.Seq))
		} else {
			text += fmt.Sprintf(" %d ack %d", testISS.To(s.Seq), testIRS.To(s.Ack))
		}
	}
	if err := e.Verify(); err != nil {
		t.Fatal(err)
	}
	return text
}

// stateCase is one kind of segment: seq is relative to RCV.NXT, ack to SND.NXT.
type stateCase struct {
	name     string
	flags    Flags
	seq, ack int
	n        int
	want     func(state State, rcv, snd int) (answer string, next State)
}

// The answers that most states share.
func acked1(state State, rcv, snd int) (string, State) {
	return fmt.Sprintf(". %d ack %d", snd, rcv), state
}
func silence(state State, _, _ int) (string, State) { return "", state }

// synInWindow: SYN-RECEIVED goes back to LISTEN, which for the one connection
// of an endpoint is CLOSED; the other states challenge it.
func synInWindow(state State, rcv, snd int) (string, State) {
	if state == SynReceived {
		return "", Closed
	}
	return acked1(state, rcv, snd)
}

// afterACK is the state that an acknowledgement of all that was sent makes.
func afterACK(s State) State {
	switch s {
	case SynReceived:
		return Established
	case FinWait1:
		return FinWait2
	case Closing:
		return TimeWait
	case LastAck:
		return Closed
	}
	return s
}

// afterFIN is the state that the peer's FIN makes.
func afterFIN(s State) State {
	switch s {
	case SynReceived, Established:
		return CloseWait
	case FinWait1:
		return Closing
	case FinWait2:
		return TimeWait
	}
	return s
}

// takesText tells whether the peer's octets are still welcome.
func takesText(s State) bool {
	return s == SynReceived || s == Established || s == FinWait1 || s == FinWait2
}

var stateCases = []stateCase{
	// First, the sequence number (RFC 9293, 3.10.7.4; RFC 5961).
	{"RST at RCV.NXT", RST, 0, 0, 0, func(s State, rcv, snd int) (string, State) {
		if s == TimeWait { // RFC 1337
			return "", s
		}
		return "", Closed
	}},
	{"RST,ACK with any ACK", RST | ACK, 0, 5000, 0, func(s State, rcv, snd int) (string, State) {
		if s == TimeWait {
			return "", s
		}
		return "", Closed
	}},
	{"RST with text (SHLD-2)", RST, 0, 0, 5, func(s State, rcv, snd int) (string, State) {
		if s == TimeWait {
			return "", s
		}
		return "", Closed
	}},
	{"RST in the window", RST, 1, 0, 0, func(s State, rcv, snd int) (string, State) {
		if s == TimeWait {
			return "", s
		}
		return acked1(s, rcv, snd)
	}},
	{"RST on the window's last octet", RST, 997, 0, 0, func(s State, rcv, snd int) (string, State) {
		if s == TimeWait {
			return "", s
		}
		return acked1(s, rcv, snd)
	}},
	{"RST left of the window", RST, -1, 0, 0, silence},
	{"RST right of the window", RST, 1000, 0, 0, silence},
	{"RST far away", RST, 1 << 30, 0, 0, silence},
	{"SYN in the window", SYN, 10, 0, 0, synInWindow},
	{"SYN far away", SYN, 1 << 30, 0, 0, acked1},
	{"SYN with text in the window", SYN, 10, 0, 20, synInWindow},
	{"SYN,ACK in the window", SYN | ACK, 10, 0, 0, synInWindow},
	{"SYN,FIN in the window", SYN | FIN, 10, 0, 0, synInWindow},
	{"ACK left of the window", ACK, -1, -1, 0, acked1},
	{"ACK right of the window", ACK, 1001, -1, 0, acked1},
	{"text left of the window", ACK, -20, -1, 10, acked1},
	{"text right of the window", ACK, 1001, -1, 10, acked1},
	// Fifth, the ACK field.
	{"no flags", 0, 0, 0, 0, silence},
	{"text without ACK", PSH, 0, 0, 10, silence},
	{"FIN without ACK", FIN, 0, 0, 0, silence},
	{"URG without ACK", URG, 0, 0, 10, silence},
	{"ACK of what was not sent", ACK, 0, 1, 0, func(s State, rcv, snd int) (string, State) {
		if s == SynReceived {
			return fmt.Sprintf("R %d", snd+1), s
		}
		return acked1(s, rcv, snd)
	}},
	{"text with an ACK of what was not sent", ACK, 0, 1, 10, func(s State, rcv, snd int) (string, State) {
		if s == SynReceived {
			return fmt.Sprintf("R %d", snd+1), s
		}
		return acked1(s, rcv, snd)
	}},
	{"ACK older than the largest window", ACK, 0, -600, 0, func(s State, rcv, snd int) (string, State) {
		if s == SynReceived {
			return fmt.Sprintf("R %d", snd-600), s
		}
		return acked1(s, rcv, snd)
	}},
	{"old ACK", ACK, 0, -2, 0, func(s State, rcv, snd int) (string, State) {
		if s == SynReceived {
			return fmt.Sprintf("R %d", snd-2), s
		}
		return "", s
	}},
	{"ACK of all", ACK, 0, 0, 0, func(s State, _, _ int) (string, State) { return "", afterACK(s) }},
	{"ACK of all at the window's edge", ACK, 998, 0, 0, func(s State, _, _ int) (string, State) { return "", afterACK(s) }},
	// Seventh, the text.
	{"text out of order", ACK, 10, 0, 10, func(s State, rcv, snd int) (string, State) {
		if !takesText(s) {
			return "", afterACK(s)
		}
		return fmt.Sprintf(". %d ack %d", snd, rcv), afterACK(s)
	}},
	{"text beyond the window's edge", ACK, 0, 0, 2000, func(s State, rcv, snd int) (string, State) {
		if !takesText(s) {
			return "", afterACK(s)
		}
		return fmt.Sprintf(". %d ack %d", snd, rcv+1000), afterACK(s)
	}},
	// Eighth, the FIN.
	{"FIN", FIN | ACK, 0, 0, 0, func(s State, rcv, snd int) (string, State) {
		switch {
		case s == LastAck:
			return "", Closed
		case takesText(s):
			return fmt.Sprintf(". %d ack %d", snd, rcv+1), afterFIN(afterACK(s))
		}
		return fmt.Sprintf(". %d ack %d", snd, rcv), afterACK(s)
	}},
	{"FIN with text", FIN | ACK, 0, 0, 10, func(s State, rcv, snd int) (string, State) {
		switch {
		case s == LastAck:
			return "", Closed
		case takesText(s):
			return fmt.Sprintf(". %d ack %d", snd, rcv+11), afterFIN(afterACK(s))
		}
		return fmt.Sprintf(". %d ack %d", snd, rcv), afterACK(s)
	}},
	{"FIN out of order", FIN | ACK, 10, 0, 0, func(s State, rcv, snd int) (string, State) {
		if s == LastAck {
			return "", Closed
		}
		return fmt.Sprintf(". %d ack %d", snd, rcv), afterACK(s)
	}},
	{"old FIN", FIN | ACK, -1, -1, 0, acked1},
}

// TestEveryStateMeetsEverySegment is RFC 9293, 3.10.7.4 as a table, with
// sequence numbers that wrap on either side.
func TestEveryStateMeetsEverySegment(t *testing.T) {
	for i, row := range stateScripts {
		for _, c := range stateCases {
			t.Run(fmt.Sprintf("%s/%s", row.state, c.name), func(t *testing.T) {
				e, now := inState(t, i)
				arrive(c.flags, row.rcv+c.seq, row.snd+c.ack, c.n)(e, now)
				got := sent(t, e, now)
				answer, next := c.want(row.state, row.rcv, row.snd)
				if got != answer || e.State() != next {
					t.Errorf("answered %q and is in %s, wanted %q and %s", got, e.State(), answer, next)
				}
			})
		}
	}
}

// TestAbortInEveryState: RFC 9293, 3.10.5.
func TestAbortInEveryState(t *testing.T) {
	for i, row := range stateScripts {
		e, now := inState(t, i)
		e.Abort(now)
		want := fmt.Sprintf("R. %d ack %d", row.snd, row.rcv)
		if row.state >= Closing {
			want = ""
		}
		if got := sent(t, e, now); got != want || e.State() != Closed {
			t.Errorf("%s: sent %q and is in %s, wanted %q", row.state, got, e.State(), want)
		}
		if e.NextTimeout() != Never {
			t.Errorf("%s: a timer is left after ABORT", row.state)
		}
	}
}

// TestNothingEverHangs: left alone, a state with something unacknowledged has
// a timer, and ends by R2.
func TestNothingEverHangs(t *testing.T) {
	for i, row := range stateScripts {
		e, now := inState(t, i)
		if row.state == Established || row.state == CloseWait {
			e.Write(now, NewChunk(make([]byte, 700), nil))
		}
		sent(t, e, now)
		for n := 0; e.NextTimeout() != Never; n++ {
			if n > 1000 {
				t.Fatalf("%s: %d timeouts and no end", row.state, n)
			}
			now = e.NextTimeout()
			e.HandleTimeout(now)
			sent(t, e, now)
		}
		if e.State() != Closed && row.state != FinWait2 {
			t.Errorf("%s: stayed in %s", row.state, e.State())
		}
	}
}

// TestFINRepeatedInEveryState: the peer's FIN again draws an ACK each time,
// and TIME-WAIT starts anew (MUST-13).
func TestFINRepeatedInEveryState(t *testing.T) {
	for i, row := range stateScripts {
		if row.rcv != 2 {
			continue
		}
		e, now := inState(t, i)
		deadline := e.closeAt
		for range 20 {
			now = now.Add(time.Millisecond)
			arrive(FIN|ACK, 1, 1, 0)(e, now)
			if got, want := sent(t, e, now), fmt.Sprintf(". %d ack 2", row.snd); got != want {
				t.Fatalf("%s: answered %q, wanted %q", row.state, got, want)
			}
		}
		if e.State() != row.state || row.state == TimeWait && e.closeAt <= deadline {
			t.Errorf("%s: is in %s, 2 MSL end at %d, before at %d", row.state, e.State(), e.closeAt, deadline)
		}
	}
}

// established makes an endpoint with cfg whose peer offers window octets.
func established(t *testing.T, cfg *Config, window uint16) (*Endpoint, Time) {
	t.Helper()
	now := Time(time.Second)
	e := NewPassive(cfg, Open{ISS: testISS, MSS: 1000, MTU: 1500, WindowScale: 7})
	e.HandleSegment(now, &Segment{Flags: SYN, Seq: testIRS, Window: window, Options: Options{Has: HasMSS | HasWindowScale, MSS: 1000}})
	sent(t, e, now)
	e.HandleSegment(now, &Segment{Flags: ACK, Seq: testIRS + 1, Ack: testISS + 1, Window: window})
	if e.State() != Established {
		t.Fatalf("state is %s", e.State())
	}
	return e, now
}

// TestTinySegmentsShutTheWindow: rounding the scaled window up must not offer
// for ever what is not kept, or the peer would give us up for dead.
func TestTinySegmentsShutTheWindow(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ReceiveBuffer = 1000
	e, now := established(t, &cfg, 500)
	var s Segment
	for n := range 3000 {
		now = now.Add(time.Second)
		had := e.rcv.nxt
		e.HandleSegment(now, &Segment{Flags: ACK, Seq: e.rcv.nxt, Ack: testISS + 1, Window: 500, Payload: []byte{1}})
		e.HandleTimeout(now.Add(cfg.AckDelay))
		for e.PollSegment(now, &s) {
			if e.rcv.nxt == had && s.Window != 0 {
				t.Fatalf("octet %d was not taken, but the window is %d", n, s.Window)
			}
		}
		if e.in.ready > cfg.ReceiveBuffer+1<<7 {
			t.Fatalf("%d octets are kept", e.in.ready)
		}
	}
	// Reading opens it again.
	for e.Readable() > 0 {
		c, _ := e.Read(now, 1000)
		c.Release()
	}
	if !e.PollSegment(now, &s) || s.Window == 0 {
		t.Errorf("no window update, or one of %d", s.Window)
	}
}

// TestFullPool: what is not needed to make progress is dropped and answered;
// the next octet in order is taken.
func TestFullPool(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Pool = NewPool(1 << 10)
	e, now := established(t, &cfg, 500)
	hog := cfg.Pool.Get(2000)
	take := func(seq Seq, n int) Reason {
		return e.HandleSegment(now, &Segment{Flags: ACK, Seq: seq, Ack: testISS + 1, Window: 500, Payload: make([]byte, n)})
	}
	if why := take(e.rcv.nxt+10, 10); why != ReasonNoMemory {
		t.Errorf("out of order: %s", why)
	}
	if got, want := sent(t, e, now), ". 1 ack 1"; got != want {
		t.Errorf("answered %q, wanted %q", got, want)
	}
	if why := take(e.rcv.nxt, 10); why != ReasonNone || e.Readable() != 10 {
		t.Errorf("in order: %s, %d readable", why, e.Readable())
	}
	if why := take(e.rcv.nxt, 10); why != ReasonNoMemory {
		t.Errorf("in order behind unread octets: %s", why)
	}
	hog.Release()
	if why := take(e.rcv.nxt, 10); why != ReasonNone || e.Readable() != 20 {
		t.Errorf("memory is back: %s, %d readable", why, e.Readable())
	}
	e.Release()
	if n := cfg.Pool.InUse(); n != 0 {
		t.Errorf("%d octets leaked", n)
	}
}

// TestMarksDoNotFallBehind: after 2^31 octets without a loss the point of the
// last recovery must not seem to lie ahead, or fast retransmit would stop.
func TestMarksDoNotFallBehind(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Congestion = "newreno"
	e, now := established(t, &cfg, 0xffff)
	var s Segment
	for moved := 0; moved < 3<<30; {
		if n := e.WriteSpace(); n > 0 {
			e.Write(now, NewChunk(make([]byte, min(n, 1<<20)), nil))
		}
		for e.PollSegment(now, &s) {
		}
		moved += e.snd.una.To(e.snd.nxt)
		now = now.Add(time.Millisecond)
		e.HandleSegment(now, &Segment{Flags: ACK, Seq: e.rcv.nxt, Ack: e.snd.nxt, Window: 0xffff})
	}
	e.Write(now, NewChunk(make([]byte, 8000), nil))
	for e.PollSegment(now, &s) {
	}
	for range 3 {
		e.HandleSegment(now, &Segment{Flags: ACK, Seq: e.rcv.nxt, Ack: e.snd.una, Window: 0xffff})
	}
	if e.counters.FastRecoveries != 1 {
		t.Errorf("%d fast recoveries after three duplicate ACKs, wanted 1", e.counters.FastRecoveries)
	}
}

// TestOrphanEndsWhicheverWayItCloses: FIN-WAIT-2 of a user who reads no more is
// bounded, also if only the second call said so.
func TestOrphanEndsWhicheverWayItCloses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Orphan = time.Minute
	e, now := established(t, &cfg, 500)
	e.CloseWrite(now)
	sent(t, e, now)
	e.HandleSegment(now, &Segment{Flags: ACK, Seq: e.rcv.nxt, Ack: e.snd.nxt, Window: 500})
	if e.NextTimeout() != Never {
		t.Error("a half-close is bounded")
	}
	e.Close(now)
	if got := e.NextTimeout(); got != now.Add(time.Minute) {
		t.Errorf("ends at %d, wanted a minute from %d", got, now)
	}
}
