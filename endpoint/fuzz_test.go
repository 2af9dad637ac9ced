package endpoint

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzParseSegment: whatever the octets, decoding ends, stays within them,
// and what was decoded means the same after encoding.
func FuzzParseSegment(f *testing.F) {
	f.Add(AppendHeader(nil, 1, 2, &Segment{Flags: SYN, Options: Options{Has: HasMSS | HasWindowScale | HasSACKPermitted | HasTimestamps, MSS: 1460, WindowScale: 7}}))
	f.Add(append(AppendHeader(nil, 1, 2, &Segment{Flags: ACK, Options: Options{SACKBlocks: 3}}), "payload"...))
	f.Add([]byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again Segment
		src, dst, why := ParseSegment(b, &s)
		if why != ReasonNone {
			return
		}
		if len(s.Payload) > len(b)-HeaderLen {
			t.Fatalf("payload of %d octets from %d", len(s.Payload), len(b))
		}
		head := AppendHeader(nil, src, dst, &s)
		if len(head) > MaxHeaderLen {
			// Only a mix of options that we never send together is longer.
			return
		}
		if _, _, why := ParseSegment(append(head, s.Payload...), &again); why != ReasonNone {
			t.Fatalf("own encoding does not parse: %v", why)
		}
		s.Options.Has &^= HasMalformed | HasAuth
		if again.Options != s.Options || again.Seq != s.Seq || again.Ack != s.Ack || again.Flags != s.Flags || again.Window != s.Window || !bytes.Equal(again.Payload, s.Payload) {
			t.Fatalf("decoded %+v, encoded and decoded again %+v", s, again)
		}
	})
}

// FuzzOptions gives the option parser lists of options, which a segment from
// the wire rarely holds: a mutation of a whole header seldom keeps its length
// right. Whatever it finds it finds again in its own encoding, and octets
// behind the end of the list mean nothing.
func FuzzOptions(f *testing.F) {
	for _, b := range [][]byte{
		{kindMSS, 4, 5, 180, kindSACKPermitted, 2, kindTimestamps, 10, 0, 0, 0, 1, 0, 0, 0, 2, kindNOP, kindWindowScale, 3, 7},
		{kindNOP, kindNOP, kindTimestamps, 10, 1, 2, 3, 4, 5, 6, 7, 8},
		{kindNOP, kindNOP, kindSACK, 10, 0, 0, 0, 1, 0, 0, 0, 9},
		append([]byte{kindSACK, 34}, make([]byte, 32)...),
		{kindMD5, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		{kindAO, 4, 1, 1, kindEOL, kindMSS, 4, 1, 1},
		{30, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, // MPTCP
		{34, 2, kindMSS, 4, 5, 180},            // Fast Open
		{kindMSS, 4, 0, 0, kindMSS, 4, 255, 255, kindWindowScale, 3, 255},
		{kindSACK, 2}, {kindSACK, 9, 1, 2, 3, 4, 5, 6, 7}, {kindMSS, 3, 1}, {kindMSS}, {99, 0}, {99, 1}, {99, 41},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), MaxHeaderLen-HeaderLen)]
		var o, again Options
		parseOptions(b, &o)
		if int(o.SACKBlocks) > len(o.SACK) {
			t.Fatalf("%d SACK blocks", o.SACKBlocks)
		}
		for i := range b {
			// A list that is cut short has nothing that the whole one has not.
			var cut Options
			parseOptions(b[:i], &cut)
			if cut.Has&^(o.Has|HasMalformed) != 0 {
				t.Fatalf("%d octets have options %b, all %d only %b", i, cut.Has, len(b), o.Has)
			}
		}
		encoded := appendOptions(nil, &o)
		if len(encoded)%4 != 0 {
			t.Fatalf("options of %d octets do not fill whole words", len(encoded))
		}
		parseOptions(encoded, &again)
		o.Has &^= HasMalformed | HasAuth
		if again != o {
			t.Fatalf("decoded %+v, encoded and decoded again %+v", o, again)
		}
	})
}

// FuzzEndpoint feeds one endpoint with hostile segments around the edges of
// its windows, time and the user's calls in any order: no panic, and the
// invariants hold after every step.
func FuzzEndpoint(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
	f.Add(bytes.Repeat([]byte{16, 8, 3, 1, 2, 40, 5}, 30))
	// In each state: text, FIN, SYN and RST in and beside the window, ICMP,
	// the user's calls, time.
	for i := range fuzzedStates {
		for config := range byte(16) {
			b := []byte{config | byte(i)<<5&0xe0, byte(i)}
			for j := range byte(24) {
				b = append(b, j, 0x10|j&3, 200-j, 0x80, j, 21, 1, j, 40, 0, 0, 0, 0, 90, j, 0, 0, 0)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { abuse(t, b) })
}

// fuzzedStates are those in which a fuzzed program may begin.
var fuzzedStates = [...]State{Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait}

// bring leads an endpoint, active for SYN-SENT and passive for all other
// states, to a state; held tells that segments are held back on the way.
func bring(e *Endpoint, now *Time, irs Seq, to State, held bool) {
	wait := func() {
		var s Segment
		for range 3 { // what is held back is let out
			for e.PollSegment(*now, &s) {
			}
			if held {
				*now = now.Add(3 * time.Second)
				e.HandleTimeout(*now)
			}
		}
	}
	in := func(flags Flags, seq, ack Seq) {
		s := Segment{Flags: flags, Seq: seq, Ack: ack, Window: 8000, Options: Options{Has: HasTimestamps, TSVal: uint32(*now / Time(tsTick)), TSEcr: 1}}
		if flags.Has(SYN) {
			s.Options.Has |= HasMSS | HasSACKPermitted | HasWindowScale
			s.Options.MSS, s.Options.WindowScale = 1000, 1
		}
		e.HandleSegment(*now, &s)
		wait()
	}
	closeWrite := func() { e.CloseWrite(*now); wait() }
	wait()
	if to == Listen || to == SynSent {
		return
	}
	in(SYN, irs, 0)
	if to == SynReceived {
		return
	}
	in(ACK, irs+1, e.snd.nxt)
	switch to {
	case FinWait1:
		closeWrite()
	case FinWait2:
		closeWrite()
		in(ACK, irs+1, e.snd.nxt)
	case CloseWait:
		in(ACK|FIN, irs+1, e.snd.nxt)
	case Closing:
		closeWrite()
		in(ACK|FIN, irs+1, e.snd.una)
	case LastAck:
		in(ACK|FIN, irs+1, e.snd.nxt)
		closeWrite()
	case TimeWait:
		closeWrite()
		in(ACK, irs+1, e.snd.nxt)
		in(ACK|FIN, irs+1, e.snd.nxt)
	}
}

// TestFuzzingBeginsInEveryState makes sure that the programs reach the states
// that they are to begin in.
func TestFuzzingBeginsInEveryState(t *testing.T) {
	for _, want := range fuzzedStates {
		for config := range byte(16) {
			e, _, _ := fuzzed(config, want)
			if e.State() != want {
				t.Errorf("config %#x begins in %v, wanted %v", config, e.State(), want)
			}
			if err := e.Verify(); err != nil {
				t.Errorf("config %#x in %v: %v", config, want, err)
			}
		}
	}
}

const fuzzedIRS Seq = 0x7ffffff0

// fuzzed makes an endpoint in a state; the low bits of config choose its
// options.
func fuzzed(config byte, state State) (e *Endpoint, cfg *Config, now Time) {
	c := DefaultConfig()
	cfg = &c
	cfg.Pool = NewPool(1 << 20)
	cfg.ReceiveBuffer, cfg.SendBuffer = 5000, 9000
	cfg.MSL = 100 * time.Second
	open := testOpen(Seq(uint32(config)<<8) - 30000)
	open.Timestamps = config&1 != 0
	open.SACK = config&2 != 0
	if config&4 == 0 {
		open.WindowScale = -1
	}
	if config&8 != 0 {
		open.Holder = &fixedHold{by: [numHeld]time.Duration{time.Second, 300 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}}
	}
	if config&0x10 != 0 {
		open.ECN = true
		cfg.Congestion = "newreno"
	}
	now = Time(time.Second)
	if state == SynSent {
		e = NewActive(now, cfg, open)
	} else {
		e = NewPassive(cfg, open)
	}
	bring(e, &now, fuzzedIRS, state, config&8 != 0)
	return e, cfg, now
}

// abuse interprets b as a configuration, a state, and a list of six-octet
// instructions.
func abuse(t *testing.T, b []byte) {
	if len(b) < 2 {
		return
	}
	b = b[:min(len(b), 2+6*300)]
	e, cfg, now := fuzzed(b[0], fuzzedStates[int(b[1])%len(fuzzedStates)])
	irs := fuzzedIRS
	for b = b[2:]; len(b) >= 6; b = b[6:] {
		edge := e.rcv.edge
		nxt := e.rcv.nxt
		op(e, &now, irs, b[:6])
		if b[0]&0xe0 == 0xe0 {
			e.Tune(now, Tuning{Limited: b[1]&1 != 0, Window: int(b[2]) << 4, WithholdACKs: b[1]&2 != 0, StretchACKs: int(b[3] & 7), DeferFIN: b[1]&4 != 0})
			if b[1]&8 != 0 {
				e.RepeatACK(now, int(b[4]))
			}
		}
		var s Segment
		for n := 0; e.PollSegment(now, &s); n++ {
			if n > 1000 {
				t.Fatal("sends without end")
			}
			if s.Flags.Has(ACK) && s.Flags&RST == 0 && e.state > SynSent && s.Ack != e.rcv.nxt && !(e.withholds() && s.Ack.Before(e.rcv.nxt)) {
				t.Fatalf("acknowledges %d, has %d", s.Ack, e.rcv.nxt)
			}
		}
		if err := e.Verify(); err != nil {
			t.Fatal(err)
		}
		if e.state > SynReceived && e.state != TimeWait && e.timer.kind == timerNone && e.unsent() {
			t.Fatalf("%s: octets wait for nothing", e.state)
		}
		if e.state > SynReceived && nxt != 0 && (e.rcv.edge.Before(edge) || e.rcv.nxt.Before(nxt)) {
			t.Fatalf("window moved left: edge %d to %d, nxt %d to %d", edge, e.rcv.edge, nxt, e.rcv.nxt)
		}
		if held := e.in.ready + e.in.oooLen; held > cfg.ReceiveBuffer+1<<8 {
			t.Fatalf("%d octets held (%d+%d), buffer is %d, %+v", held, e.in.ready, e.in.oooLen, cfg.ReceiveBuffer, e.Info())
		}
	}
	e.Release()
	if n := cfg.Pool.InUse(); n != 0 {
		t.Fatalf("%d octets of buffers leaked", n)
	}
}

func op(e *Endpoint, now *Time, irs Seq, b []byte) {
	switch b[0] % 8 {
	case 0:
		*now = now.Add(time.Duration(b[1]) * time.Duration(b[2]) * time.Millisecond)
		e.HandleTimeout(*now)
	case 1:
		switch b[1] % 5 {
		case 0, 1:
			if n := min(int(b[2])*8, e.WriteSpace()); n > 0 {
				e.Write(*now, NewChunk(make([]byte, n), nil))
			}
		case 2:
			if c, ok := e.Read(*now, int(b[2])*16); ok {
				c.Release()
			}
		case 3:
			e.CloseWrite(*now)
		case 4:
			if b[2] > 240 {
				e.Abort(*now)
			} else if b[2] > 200 {
				e.Close(*now)
			}
		}
	case 2:
		e.HandleICMP(*now, e.snd.una.Plus(int(int8(b[1]))), &ICMPError{Type: b[2] % 5, Code: b[3] % 6, MTU: int(b[4]) * 8})
	default:
		s := Segment{Flags: Flags(b[1]) & (FIN | SYN | RST | PSH | ACK | URG), Window: uint16(b[2]) * 37}
		if b[1]&0x80 != 0 {
			s.Flags = ACK
		}
		if b[3]&0x80 != 0 {
			s.Flags &^= RST | SYN
		}
		bases := [...]Seq{e.rcv.nxt, e.rcv.edge, irs, e.rcv.nxt.Plus(-1500)}
		s.Seq = bases[b[3]%4].Plus(int(int8(b[4])) * 5)
		if b[4] == 0 || s.Flags.Has(SYN) && e.state <= SynSent {
			s.Seq = bases[b[3]%4]
		}
		acks := [...]Seq{e.snd.una, e.snd.nxt, e.snd.nxt, e.snd.una.Plus(int(b[5]) * 7)}
		s.Ack = acks[b[5]%4]
		s.Payload = make([]byte, int(b[5]>>2)*40)
		if b[2]&1 != 0 {
			s.Payload = nil
		}
		s.Options = Options{Has: HasMSS | HasTimestamps | HasSACKPermitted | HasWindowScale, MSS: uint16(b[4]) * 16, TSVal: uint32(*now / Time(tsTick)), TSEcr: uint32(b[5]), WindowScale: b[4] % 16}
		if s.Flags&SYN == 0 {
			s.Options.Has &= HasTimestamps
			s.Options.SACKBlocks = b[2] % 4
			for i := range s.Options.SACK {
				at := e.snd.una.Plus(int(b[(i+2)%6]) * 11)
				s.Options.SACK[i] = Range{at, at.Plus(int(b[(i+3)%6]) * 5)}
			}
		}
		e.HandleSegment(*now, &s)
	}
}

// TestAbuse runs the same with programs drawn at random.
func TestAbuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		b := make([]byte, 2+6*200)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		abuse(t, b)
		if t.Failed() {
			t.Fatalf("program %x", b)
		}
	}
}
