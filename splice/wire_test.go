package splice

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func (p *playbook) wantFaults(want ...string) {
	p.t.Helper()
	var got []string
	for _, e := range p.watch.faults {
		got = append(got, e.Text)
	}
	if len(got) != len(want) {
		p.t.Fatalf("faults that fired: %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			p.t.Errorf("fault %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestTheFirstSYNIsLost(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Lose, Which: rules.Which{First: 2}})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		+1
		client > S 0:0(0) <mss 1400>
		quiet
		+2
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0) <mss 1400>
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		client > P. 1:11(10) ack 1
		server < P. 1:11(10) ack 1
	`)
	p.wantFaults("client in syn drop first 2", "client in syn drop first 2")
	p.shard.Shutdown(p.dev.now)
	if got := p.watch.closed[0].Fired; len(got) != 1 || got[0] != (Fired{Text: "client in syn drop first 2", Count: 2}) {
		t.Errorf("the summary says of faults %+v", got)
	}
	e := p.watch.faults[0]
	if !e.HasSegment || e.Flags != endpoint.SYN || e.Seq != e.IRS || e.Do != rules.Lose || e.Rule != "late" || e.Conn != 1 {
		t.Errorf("the event is %+v", e)
	}
}

func TestALateSYNIsAnsweredLate(t *testing.T) {
	for _, order := range []rules.Order{rules.ServerFirst, rules.ClientFirst} {
		p := newPlaybook(t, Options{Order: order,
			Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, By: 300 * time.Millisecond})})
		p.play(`
			client > S 0:0(0) <mss 1400>
			+0.299
			quiet
			+0.003
		`)
		if order == rules.ServerFirst {
			p.play(`server < S 0:0(0) <mss 1400>`)
		} else {
			p.play(`client < S. 0:0(0) ack 1`)
		}
		p.play(`quiet`)
		if got := p.shard.Connections(p.dev.now, nil, -1); len(got) != 1 {
			t.Fatalf("%d connections", len(got))
		}
	}
}

// A client that gives up, or starts anew, while its SYN is kept.
func TestASYNThatNeverComesThrough(t *testing.T) {
	lost := rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Lose, Which: rules.Which{Nth: 1}}
	p := newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		client > R 1:1(0)
		quiet
	`)
	p.wantOver("client", ByReset, endpoint.Listen, endpoint.Closed)
	p = newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		+140
		quiet
	`)
	p.wantOver("client", ByTimeout, endpoint.Listen, endpoint.Closed)
	p = newPlaybook(t, Options{Rules: faulty(lost)})
	p.play(`
		client > S 0:0(0)
		client > S 5000:5000(0)
		client > S 5000:5000(0)
		server < S 0:0(0)
	`)
	if n := len(p.watch.closed); n != 1 {
		t.Errorf("%d connections were reported, want the one that was given up", n)
	}
}

func TestLostDataIsSentAgain(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 2}})})
	p.play(handshake + `
		client > P. 1:3001(3000) ack 1
		client < . 1:1(0) ack 3001
		server < . 1:1301(1300) ack 1
		server < P. 2601:3001(400) ack 1
		server > . 1:1(0) ack 1301
		+2
		# a tail loss probe, then what was lost
		server < P. 1701:3001(1300) ack 1
		server < . 1301:1701(400) ack 1
	`)
}

// What is under way when a connection ends arrives all the same: the last ACK
// of a leg in TIME-WAIT is late, and then everything is over.
func TestTheLastACKIsLate(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.LastACK, By: 3 * time.Second})})
	p.play(handshake + `
		client > F. 1:1(0) ack 1
		client < . 1:1(0) ack 2
		server < F. 1:1(0) ack 1
		server > F. 1:1(0) ack 2
		client < F. 1:1(0) ack 2
		client > . 2:2(0) ack 2
		+2.9
		quiet
		+0.2
		server < . 2:2(0) ack 2
		quiet
	`)
	p.wantFaults("server last-ack delay by 3s")
	p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
}

// A RST that the wire loses is not sent again, but the peer's next segment
// gets another.
func TestARSTIsLost(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.RST, Do: rules.Lose, Which: rules.Which{Nth: 1}})})
	p.play(handshake + `
		client > R 1:1(0)
		quiet
		+1
		server > P. 1:11(10) ack 1
		server < R 1:1(0)
		quiet
	`)
	p.wantFaults("server rst drop nth 1")
}

// What arrives and is lost was never acknowledged: the peer sends it again.
func TestArrivingDataIsLost(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 2}})})
	p.play(handshake + `
		burst
		client > . 1:1301(1300) ack 1
		client > . 1301:2601(1300) ack 1
		flush
		server < . 1:1301(1300) ack 1
		quiet
		+0.05
		client < . 1:1(0) ack 1301
		client > P. 1301:2601(1300) ack 1
		server < P. 1301:2601(1300) ack 1
	`)
}

// An arriving super-segment is cut by the MSS that we announced.
func TestASuperSegmentThatArrivesIsCut(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 3}})})
	p.play(handshake + `
		client > P. 1:6501(6500) ack 1
		server < . 1:2601(2600) ack 1
		client < . 1:1(0) ack 2601
	`)
	e := p.watch.faults[0]
	if e.Len != 1300 || e.Seq != e.IRS+2601 {
		t.Errorf("the third was %d octets at %d", e.Len, e.Seq-e.IRS)
	}
}

// A SYN cookie keeps nothing that could wait or count.
func TestNoCookieForARuleOnTheSYN(t *testing.T) {
	for _, f := range []rules.Fault{
		{Leg: rules.Client, In: true, On: rules.SYN, By: time.Second},
		{Leg: rules.Client, On: rules.SYNACK, Do: rules.Duplicate, Copies: 1},
		{Leg: rules.Client, In: true, On: rules.Any, Do: rules.Lose, Which: rules.Which{Nth: 9}},
	} {
		p := newPlaybook(t, Options{Cookies: CookiesAlways, OverLimit: rules.Drop, Rules: faulty(f)})
		p.play(`client > S 0:0(0) <mss 1400>`)
		if n := p.shard.Counters().CookiesSent; n != 0 {
			t.Errorf("%v: a cookie was sent", f)
		}
	}
	p := newPlaybook(t, Options{Cookies: CookiesAlways, Rules: faulty(rules.Fault{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Lose, Which: rules.Which{Bytes: rules.Octets{From: 5, To: 6}, First: 1}})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		server < S 0:0(0)
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		client > P. 1:11(10) ack 1
		quiet
		client > P. 1:11(10) ack 1
		server < P. 1:11(10) ack 1
	`)
}

// The same seed and traffic give the same events.
func TestTheSameSeedTheSameEvents(t *testing.T) {
	run := func() []FaultEvent {
		p := newPlaybook(t, Options{Rules: faulty(
			rules.Fault{Leg: rules.Client, On: rules.Data, Do: rules.Lose, Which: rules.Which{Probability: 0.3}},
			rules.Fault{Leg: rules.Client, In: true, On: rules.ACK, By: 5 * time.Millisecond, Jitter: 5 * time.Millisecond},
			rules.Fault{Leg: rules.Server, In: true, On: rules.Data, Do: rules.Duplicate, Copies: 1, Which: rules.Which{Probability: 0.2}})})
		p.play(handshake)
		for i := range 50 {
			p.play(fmt.Sprintf("server > P. %d:%d(100) ack 1\n+0.01\nclient > . 1:1(0) ack %d\n+0.01", 1+100*i, 101+100*i, 1+50*i))
		}
		return p.watch.faults
	}
	a, b := run(), run()
	if len(a) < 30 || !slices.Equal(a, b) {
		t.Errorf("%d and %d events; they differ or are too few", len(a), len(b))
	}
}

// Nothing that a rule holds keeps a peer from being told that we stop.
func TestShutdownIsNotHeldUp(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.Any, By: time.Minute, Which: rules.Which{After: time.Second}},
		rules.Fault{Leg: rules.Client, On: rules.RST, Do: rules.Lose})})
	p.play(handshake + `
		+2
		client > P. 1:11(10) ack 1
		+0.1
		client < . 1:1(0) ack 11
		quiet
	`)
	p.shard.Shutdown(p.dev.now)
	p.play(`
		client < R. 1:1(0) ack 11
		server < R. 11:11(0) ack 1
		quiet
	`)
	p.wantEmpty()
}
