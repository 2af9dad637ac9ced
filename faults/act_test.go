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
