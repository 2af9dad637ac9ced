package endpoint

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"
)

// inTimeWait brings an endpoint to TIME-WAIT.
func inTimeWait(t *testing.T, ts, sack bool) (*Endpoint, Time) {
	cfg := DefaultConfig()
	o := testOpen(5000)
	o.Timestamps, o.SACK = ts, sack
	now := Time(time.Second)
	e := NewPassive(&cfg, o)
	tell := func(s Segment) {
		if ts {
			s.Options.Has |= HasTimestamps
			s.Options.TSVal, s.Options.TSEcr = 700, tsClock(now, 0)
		}
		e.HandleSegment(now, &s)
		var out Segment
		for e.PollSegment(now, &out) {
		}
	}
	has := HasMSS | HasWindowScale
	if sack {
		has |= HasSACKPermitted
	}
	tell(Segment{Seq: 90000, Flags: SYN, Window: 60000, Options: Options{Has: has, MSS: 1460, WindowScale: 3}})
	tell(Segment{Seq: 90001, Ack: 5001, Flags: ACK, Window: 8000})
	e.CloseWrite(now)
	tell(Segment{Seq: 90001, Ack: 5001, Flags: ACK, Window: 8000})
	tell(Segment{Seq: 90001, Ack: 5002, Flags: ACK | FIN, Window: 8000})
	if e.State() != TimeWait {
		t.Fatalf("state is %s", e.State())
	}
	return e, now
}

// The record does, for any segments, what the endpoint would do.
func TestTimeWaitRecordIsTheEndpoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for round := range 4000 {
		ts, sack := rng.IntN(2) == 0, rng.IntN(2) == 0
		e, now := inTimeWait(t, ts, sack)
		w, ok := e.TimeWaitRecord()
		if !ok {
			t.Fatal("no record of an endpoint that has nothing to do")
		}
		for range 1 + rng.IntN(30) {
			now = now.Add(time.Duration(rng.IntN(800)) * time.Millisecond)
			s := Segment{
				Seq:    []Seq{e.rcv.nxt, e.rcv.nxt - 1, e.rcv.nxt + 1, e.rcv.edge, e.rcv.edge - 1, e.rcv.nxt - 100, e.rcv.edge + 5}[rng.IntN(7)],
				Ack:    []Seq{e.snd.nxt, e.snd.nxt - 1, e.snd.nxt + 1, e.snd.nxt - 1<<20, e.snd.nxt - 70000}[rng.IntN(5)],
				Flags:  Flags(rng.IntN(256)),
				Window: uint16(rng.IntN(8000)), // a larger one would move the bound of RFC 5961, 5.2
			}
			if n := rng.IntN(4); n > 0 {
				s.Payload = make([]byte, []int{1, 100, 101}[n-1])
			}
			if rng.IntN(3) > 0 {
				s.Options.Has = HasTimestamps
				s.Options.TSVal = uint32(698 + rng.IntN(5))
			}
			a, b := e.HandleSegment(now, &s), w.HandleSegment(now, &s)
			if a != b {
				t.Fatalf("round %d: %v %+v: reasons %v of the endpoint, %v of the record", round, s.Flags, s, a, b)
			}
			var x, y Segment
			p, q := e.PollSegment(now, &x), w.PollSegment(now, &y)
			x.Pieces, y.Pieces = nil, nil
			if p != q || p && !reflect.DeepEqual(x, y) {
				t.Fatalf("round %d: after %v %+v: %v %+v, and %v %+v of the record", round, s.Flags, s, p, x, q, y)
			}
			if e.AcceptsSYN(&s) != w.Accepts(&s) {
				t.Fatalf("round %d: a SYN is taken by one and not by the other", round)
			}
			if e.State() != TimeWait || e.NextTimeout() != w.NextTimeout() {
				t.Fatalf("round %d: %s until %v, the record until %v", round, e.State(), e.NextTimeout(), w.NextTimeout())
			}
		}
	}
}

func TestTimeWaitRecordIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(TimeWaitRecord{}); n > 96 {
		t.Errorf("the record takes %d octets", n)
	}
}

// What the record could not keep keeps the endpoint.
func TestNoRecordOfWhatIsUnfinished(t *testing.T) {
	e, now := inTimeWait(t, false, true)
	e.HandleSegment(now, &Segment{Seq: e.rcv.nxt - 1, Ack: e.snd.nxt, Flags: ACK | FIN})
	if _, ok := e.TimeWaitRecord(); ok {
		t.Error("an ACK is due, and there is a record")
	}
	cfg := DefaultConfig()
	open := NewActive(now, &cfg, testOpen(1))
	if _, ok := open.TimeWaitRecord(); ok {
		t.Error("a record of SYN-SENT")
	}
}
