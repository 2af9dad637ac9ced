package faults

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

const (
	client = endpoint.Client
	server = endpoint.Server
	ack    = endpoint.ACK
	psh    = endpoint.PSH
	fin    = endpoint.FIN
)

func data(do rules.Do, w rules.Which) rules.Fault {
	return rules.Fault{Leg: rules.Server, On: rules.Data, Do: do, Which: w}
}

// A super-segment loses the packets that are chosen, and no others; what is
// between them is still in one piece.
func TestDropCountsPacketsOfSuperSegments(t *testing.T) {
	for _, in := range []bool{false, true} {
		f := data(rules.Lose, rules.Which{Every: 3})
		f.In = in
		b := newBench(t, f)
		b.open(server)
		b.give(server, !in, ack|psh|fin, 1, 750)
		dir := map[bool]string{false: "out", true: "in"}[in]
		b.want("every third of eight",
			"+0s server "+dir+" 1:201 .", "+0s server "+dir+" 301:501 .", "+0s server "+dir+" 601:751 F.")
		if b.last.Flags != ack|psh|fin || !in && b.last.MSS != mss {
			t.Errorf("the last one has flags %v and MSS %d", b.last.Flags, b.last.MSS)
		}
		b.give(server, !in, ack, 752, 100)
		b.want("the ninth")
		b.wantEmpty()
	}
}

func TestDelayKeepsTheOrder(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Data, By: 10 * ms})
	b.open(server)
	b.give(server, true, ack, 1, 250)
	b.now += endpoint.Time(5 * ms)
	b.give(server, true, ack|psh, 251, 50)
	b.ack(server, true, 65000, 51)
	b.want("what carries no data is not held", "+5ms server out 1:1 .")
	b.after(20 * ms)
	b.want("ten milliseconds later", "+10ms server out 1:101 .", "+10ms server out 101:201 .", "+10ms server out 201:251 .",
		"+15ms server out 251:301 .")
	b.wantFired("each", "+0s server data delay by 10ms by 10ms n 0", "+0s server data delay by 10ms by 10ms n 0",
		"+0s server data delay by 10ms by 10ms n 0", "+5ms server data delay by 10ms by 10ms n 0")
	if b.notes[1] != "data held 10ms by rule r" {
		t.Errorf("note %q", b.notes[1])
	}
	b.wantEmpty()
}

func TestJitterStaysInItsBounds(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Client, In: true, On: rules.Data, By: 100 * ms, Jitter: 50 * ms})
	b.open(client)
	seen := map[time.Duration]bool{}
	for i := range 200 {
		b.give(client, false, ack, 1+i*10, 10)
		b.lines = nil
		at := b.stage.Next().Sub(b.now)
		if at < 50*ms || at > 150*ms {
			t.Fatalf("held %v", at)
		}
		seen[at] = true
		b.after(200 * ms)
	}
	if len(seen) < 190 {
		t.Errorf("only %d different delays of 200", len(seen))
	}
}

func TestDuplicatesFollowAtOnce(t *testing.T) {
	b := newBench(t, data(rules.Duplicate, rules.Which{Nth: 2}), rules.Fault{Leg: rules.Server, On: rules.Data, By: ms, Which: rules.Which{Nth: 3}})
	b.stage.p.faults[0].Copies = 2
	b.open(server)
	b.give(server, true, ack, 1, 300)
	b.want("the second thrice; the third is late", "+0s server out 1:101 .", "+0s server out 101:201 .", "+0s server out 101:201 .", "+0s server out 101:201 .")
	b.after(ms)
	b.want("the third", "+1ms server out 201:301 .")
	b.wantFired("each fault once", "+0s server data duplicate nth 2 by 0s n 2", "+0s server data delay by 1ms nth 3 by 1ms n 0")
	b.wantEmpty()
}

// The copies share what comes after them in the list.
func TestCopiesAreDelayedTogether(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.ACK, In: true, Do: rules.Duplicate, Copies: 1},
		rules.Fault{Leg: rules.Server, On: rules.Any, In: true, By: ms}, data(rules.Lose, rules.Which{}))
	b.stage.sides[1][0].begin(ours, &endpoint.Options{})
	b.give(server, false, ack, 1, 0)
	b.want("held")
	b.after(2 * ms)
	b.want("twice", "+1ms server in 1:1 .", "+1ms server in 1:1 .")
	b.wantEmpty()
}

func TestReorderFollowsTheNext(t *testing.T) {
	f := data(rules.Reorder, rules.Which{Every: 3})
	f.Behind = 2
	b := newBench(t, f)
	b.open(server)
	b.give(server, true, ack, 1, 700)
	b.want("the third after the fifth, the sixth is held", "+0s server out 1:201 .", "+0s server out 301:401 .", "+0s server out 401:501 .",
		"+0s server out 201:301 .", "+0s server out 601:701 .")
	b.after(200 * ms)
	b.want("nothing follows: its time is up", "+100ms server out 501:601 .")
	b.wantEmpty()
	f.Which.Every, f.Behind = 0, 1
	b = newBench(t, f)
	b.open(server)
	b.give(server, true, ack, 1, 400)
	b.want("each two change places", "+0s server out 101:201 .", "+0s server out 1:101 .", "+0s server out 301:401 .", "+0s server out 201:301 .")
	b.wantEmpty()
}

func TestCorruptOutLeavesWithOneWrongBit(t *testing.T) {
	b := newBench(t, data(rules.Corrupt, rules.Which{Nth: 2}))
	b.open(server)
	for i := range 3 {
		b.give(server, true, ack, 1+100*i, 100)
		switch bit := b.head.Corrupt; {
		case i != 1 && bit != 0:
			t.Errorf("segment %d has bit %d wrong", i+1, bit)
		case i == 1 && (bit < 33 || bit > 8*(20+100)):
			t.Errorf("bit %d", bit)
		}
	}
	b.want("all leave", "+0s server out 1:101 .", "+0s server out 101:201 .", "+0s server out 201:301 .")
}

// Every bit that is drawn is one that can be wrong, and all of them are drawn.
func TestWhichBit(t *testing.T) {
	b := newBench(t, data(rules.Corrupt, rules.Which{}))
	b.open(server)
	seen := map[uint32]bool{}
	for range 4000 {
		b.give(server, true, ack, 1, 2)
		bit := b.head.Corrupt - 1
		octet := bit / 8
		if octet < 4 || octet == dataOffset || octet >= 22 {
			t.Fatalf("bit %d of octet %d is wrong", bit%8, octet)
		}
		seen[bit] = true
	}
	if want := (22 - 4 - 1) * 8; len(seen) != want {
		t.Errorf("%d bits were drawn, want %d", len(seen), want)
	}
}

func TestCorruptInIsLost(t *testing.T) {
	f := data(rules.Corrupt, rules.Which{First: 1})
	f.In = true
	b := newBench(t, f)
	b.open(server)
	b.give(server, false, ack, 1, 100)
	b.want("its checksum is wrong")
	b.give(server, false, ack, 1, 100)
	b.want("sent again", "+0s server in 1:101 .")
	if len(b.events) != 1 {
		t.Errorf("events %q", b.events)
	}
}

func TestHoldUntilAMoment(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Hold, Until: rules.Closing})
	b.open(server)
	b.give(server, true, ack, 1, 200)
	b.after(time.Minute)
	b.want("no moment, no data")
	b.stage.Reach(b.now, client, rules.Closing, b)
	b.want("of the other leg")
	b.stage.Reach(b.now, server, rules.HalfClosed, b)
	b.want("another moment")
	b.stage.Reach(b.now, server, rules.Closing, b)
	b.want("out", "+1m0s server out 1:101 .", "+1m0s server out 101:201 .")
	b.give(server, true, ack, 201, 50)
	b.want("the moment is past", "+1m0s server out 201:251 .")
	b.wantEmpty()
}

// It may never come: then what is held leaves after an hour.
func TestHoldUntilAMomentThatDoesNotCome(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Hold, Until: rules.Closing})
	b.open(server)
	b.give(server, true, ack, 1, 100)
	b.after(LongestHold - time.Millisecond)
	b.want("held")
	b.after(time.Millisecond)
	b.want("out", "+1h0m0s server out 1:101 .")
	b.wantEmpty()
}

// A FIN that is held stands for the ones that follow it.
func TestAFINIsHeldOnce(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.FIN, In: true, By: time.Second})
	b.open(server)
	b.give(server, false, ack|fin, 1, 10)
	b.after(300 * ms)
	b.give(server, false, ack|fin, 1, 10)
	b.want("held")
	b.after(time.Second)
	b.want("one", "+1s server in 1:11 F.")
	b.give(server, false, ack|fin, 1, 10)
	b.want("not again", "+1.3s server in 1:11 F.")
	b.wantFired("once", "+0s server in fin delay by 1s by 1s n 0")
	b.wantEmpty()
}

func TestSplitPartsGoOnAlone(t *testing.T) {
	for _, in := range []bool{false, true} {
		f := data(rules.Split, rules.Which{})
		f.In, f.Size = in, 40
		lose := data(rules.Lose, rules.Which{Nth: 2})
		lose.In = in
		b := newBench(t, f, lose)
		b.open(server)
		dir := map[bool]string{false: "out", true: "in"}[in]
		b.give(server, !in, ack|fin, 1, 100)
		b.want("three, of which the second is lost", "+0s server "+dir+" 1:41 .", "+0s server "+dir+" 81:101 F.")
		b.give(server, !in, ack, 102, 40)
		b.want("one that is short enough", "+0s server "+dir+" 102:142 .")
		b.wantFired("a split and a drop", "+0s server "+word(in)+"data split size 40 by 0s n 3", "+0s server "+word(in)+"data drop nth 2 by 0s n 0")
		b.wantEmpty()
	}
}

func word(in bool) string {
	if in {
		return "in "
	}
	return ""
}

func TestRewrite(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Rewrite, Header: rules.Header{
		Window: rules.Some(uint16(3)), Urgent: rules.Some(uint16(5)), Flags: rules.Some(uint8(ack | endpoint.URG)),
		TTL: rules.Some(uint8(1)), DSCP: rules.Some(uint8(46)),
	}})
	b.open(server)
	b.give(server, true, ack|psh, 1, 10)
	s, h := &b.last, &b.head
	if s.Window != 3 || s.Urgent != 5 || s.Flags != ack|endpoint.URG || h.TTL != 1 || h.DSCP != 46 {
		t.Errorf("left as %+v with %+v", s, h)
	}
	b.give(server, true, ack, 11, 0)
	if b.last.Window != 65000 || b.head.TTL != 0 {
		t.Error("an ACK was rewritten")
	}
	b.wantEmpty()
}

// The first fault that takes a segment away ends it: later ones do not count.
func TestTheListIsInOrder(t *testing.T) {
	b := newBench(t, data(rules.Lose, rules.Which{Every: 2}), data(rules.Lose, rules.Which{Every: 2}))
	b.open(server)
	for i := range 8 {
		b.give(server, true, ack, 1+10*i, 10)
	}
	// 2, 4, 6, 8 by the first; of 1, 3, 5, 7 the second takes 3 and 7.
	b.want("two are left", "+0s server out 1:11 .", "+0s server out 41:51 .")
}
