package splice

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// policed is one rule for all connections.
func policed(list ...rules.Policy) *atomic.Pointer[rules.Set] {
	return withRules(&rules.Rule{Name: "stream", Match: rules.Match{Probability: 1}, Streams: list, Seed: 3})
}

// taken removes what was sent to a leg and returns its octets.
func (p *playbook) taken(leg endpoint.Leg) string {
	var b bytes.Buffer
	for _, s := range p.dev.out[leg] {
		b.Write(s.data)
	}
	p.dev.out[leg] = nil
	return b.String()
}

func TestLatencyKeepsTheFINBehindTheOctets(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Latency, By: 300 * time.Millisecond})})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		+0.05
		client < . 1:1(0) ack 101
		+0.05
		client > P. 101:201(100) ack 1
		client > F. 201:201(0) ack 1
		client < . 1:1(0) ack 202
		# the other direction is not late
		server > P. 1:51(50) ack 1
		client < P. 1:51(50) ack 202
		client > . 202:202(0) ack 51
		+0.05
		server < . 1:1(0) ack 51
		+0.148
		quiet
		+0.003
		server < P. 1:101(100) ack 51
		server > . 51:51(0) ack 101
		+0.097
		quiet
		+0.005
		server < FP. 101:201(100) ack 51
		server > F. 51:51(0) ack 202
		server < . 202:202(0) ack 52
		client < F. 51:51(0) ack 202
		client > . 202:202(0) ack 52
	`)
	s := p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
	if s.ToServer != 200 || s.ToClient != 50 {
		t.Errorf("%d octets to the server, %d to the client", s.ToServer, s.ToClient)
	}
	p.wantPolicies(rules.Latency)
}

// TestWhatIsHeldOutlivesItsLeg: the client is long gone, its TIME-WAIT over,
// when the server gets what it sent.
func TestWhatIsHeldOutlivesItsLeg(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Latency, By: 5 * time.Minute})})
	p.play(handshake + `
		server > F. 1:1(0) ack 1
		server < . 1:1(0) ack 2
		client < F. 1:1(0) ack 1
		client > FP. 1:101(100) ack 2
		client < . 2:2(0) ack 102
		+299
		quiet
		+1.1
		server < FP. 1:101(100) ack 2
		server > . 2:2(0) ack 102
		quiet
	`)
	p.wantOver("server", ByFIN, endpoint.TimeWait, endpoint.LastAck)
}

// wantPolicies compares which policies have told of themselves.
func (p *playbook) wantPolicies(want ...rules.Stream) {
	p.t.Helper()
	var got []rules.Stream
	for _, e := range p.watch.faults {
		if e.IsStream && e.Rule == "stream" && e.Conn == 1 && e.Text != "" {
			got = append(got, e.Stream)
		}
	}
	if len(got) != len(want) {
		p.t.Fatalf("events of %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			p.t.Errorf("events of %v, want %v", got, want)
		}
	}
}

func TestAResetDoesNotWaitForWhatAPolicyHolds(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Latency, By: time.Hour})})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		client > R. 101:101(0) ack 1
		server < R. 1:1(0) ack 1
	`)
	p.wantOver("client", ByReset, endpoint.Established, endpoint.Established)
}

func TestSlicesHaveASegmentEach(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Slice, Size: 40})})
	p.play(handshake + `
		client > FP. 1:101(100) ack 1
		client < . 1:1(0) ack 102
		server < P. 1:41(40) ack 1
		server < P. 41:81(40) ack 1
		server < P. 81:101(20) ack 1
		server < F. 101:101(0) ack 1
		quiet
	`)
	p.wantPolicies(rules.Slice)
}

func TestSlicesAreAGapApart(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Client, Do: rules.Slice, Size: 10, Gap: 100 * time.Millisecond})})
	p.play(handshake + `
		server > P. 1:26(25) ack 1
		client < P. 1:11(10) ack 1
		+0.045
		server < . 1:1(0) ack 26
		+0.05
		quiet
		+0.01
		client < P. 11:21(10) ack 1
		+0.09
		quiet
		+0.02
		client < P. 21:26(5) ack 1
		quiet
	`)
}

// TestSlicesWaitForTheWindow: what a shut window keeps from leaving is not
// joined to what follows.
func TestSlicesWaitForTheWindow(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Slice, Size: 40})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 40 <mss 1400>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		client > P. 1:101(100) ack 1
		server < P. 1:41(40) ack 1
		server > . 1:1(0) ack 41 win 1000
		server < P. 41:81(40) ack 1
		server < P. 81:101(20) ack 1
	`)
}

func TestLimitThenFIN(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Limit, Bytes: 50})})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		server < FP. 1:51(50) ack 1
		server > . 1:1(0) ack 52
		+0.05
		client < . 1:1(0) ack 101
		# what the client still sends is taken and dropped
		client > P. 101:1101(1000) ack 1
		+0.05
		client < . 1:1(0) ack 1101
		quiet
		# the other direction is open
		server > P. 1:101(100) ack 52
		client < P. 1:101(100) ack 1101
		client > . 1101:1101(0) ack 101
		+0.05
		server < . 52:52(0) ack 101
		server > F. 101:101(0) ack 52
		server < . 52:52(0) ack 102
		client < F. 101:101(0) ack 1101
		# even now that the server leg is over
		client > P. 1101:2101(1000) ack 102
		+0.05
		client < . 102:102(0) ack 2101
		client > F. 2101:2101(0) ack 102
		client < . 102:102(0) ack 2102
		quiet
	`)
	s := p.wantOver("tcpmitm", ByRule, endpoint.TimeWait, endpoint.TimeWait)
	if s.ToServer != 50 || s.ToClient != 100 {
		t.Errorf("%d octets to the server, %d to the client", s.ToServer, s.ToClient)
	}
	p.wantPolicies(rules.Limit)
}

func TestLimitThenReset(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Client, Do: rules.Limit, Bytes: 50, Then: rules.EndReset})})
	p.play(handshake + `
		server > P. 1:101(100) ack 1
		client < P. 1:51(50) ack 1
		+0.05
		server < . 1:1(0) ack 101
		# the RST follows when the client has it all
		quiet
		client > . 1:1(0) ack 51
		client < R. 51:51(0) ack 1
		server < R. 1:1(0) ack 101
		quiet
	`)
	p.wantOver("tcpmitm", ByRule, endpoint.Established, endpoint.Established)
}

func TestLimitThenVanish(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Client, Do: rules.Limit, Bytes: 50, Then: rules.EndVanish})})
	p.play(handshake + `
		server > P. 1:101(100) ack 1
		client < P. 1:51(50) ack 1
		+0.05
		server < . 1:1(0) ack 101
		client > . 1:1(0) ack 51
		quiet
		# neither side is answered any more
		client > P. 1:11(10) ack 51
		server > P. 101:201(100) ack 1
		server > F. 201:201(0) ack 1
		client > F. 11:11(0) ack 51
		client > R 12:12(0)
		+100
		quiet
		+1500
	`)
	p.dev.out[0], p.dev.out[1] = nil, nil
	p.wantEmpty()
	if s := p.watch.closed[0]; s.How != ByRule || s.FirstClose != "tcpmitm" || s.ToClient != 50 {
		t.Errorf("%+v", s)
	}
}

func TestLimitOfNothing(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Client, Do: rules.Limit, Then: rules.EndReset})})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 <mss 1400>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		client < R. 1:1(0) ack 1
		server < R. 1:1(0) ack 1
	`)
	p.wantOver("tcpmitm", ByRule, endpoint.Established, endpoint.Established)
}

func TestPoliciesChangeOctets(t *testing.T) {
	text := pattern(endpoint.Client, 0, 100)
	p := newPlaybook(t, Options{Rules: policed(
		rules.Policy{To: rules.Server, Do: rules.Insert, At: 3, With: []byte("<insert>")},
		rules.Policy{To: rules.Server, Do: rules.Replace, Find: text[48:52], With: []byte("<replace>")},
		rules.Policy{To: rules.Server, Do: rules.Discard, Range: rules.Octets{From: 1, To: 3}},
	)})
	p.play(handshake + `
		client > P. 1:51(50) ack 1
		client > P. 51:101(50) ack 1
		client > F. 101:101(0) ack 1
	`)
	want := string(text[:1]) + "<insert>" + string(text[3:48]) + "<replace>" + string(text[52:])
	if got := p.taken(endpoint.Server); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	p.wantPolicies(rules.Insert, rules.Discard, rules.Replace)
	p.play(`
		server > F. 1:1(0) ack 113
		client < . 1:1(0) ack 102
		client < F. 1:1(0) ack 102
		client > . 102:102(0) ack 2
	`)
	p.dev.out[1] = nil
	p.wantEmpty()
	if s := p.watch.closed[0]; s.ToServer != uint64(len(want)) {
		t.Errorf("%d octets to the server, want %d", s.ToServer, len(want))
	}
}

func TestTheServerMayBeGreetedByARule(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Insert, With: []byte("PROXY UNKNOWN\r\n")})})
	p.play(strings.TrimSuffix(handshake, "	quiet\n"))
	if got := p.taken(endpoint.Server); got != "PROXY UNKNOWN\r\n" {
		t.Errorf("the server got %q", got)
	}
}

func TestHoldUntilTheServerSpeaks(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.HoldUntil, Until: rules.Some(rules.FirstByte)})})
	p.play(handshake + `
		client > FP. 1:101(100) ack 1
		client < . 1:1(0) ack 102
		+20
		quiet
		server > P. 1:11(10) ack 1
		server < FP. 1:101(100) ack 11
		client < P. 1:11(10) ack 102
	`)
	p.wantPolicies(rules.HoldUntil)
}

// TestAFullPipelineShutsTheSendersWindow: what is held back is bounded, and
// nothing of it is lost.
func TestAFullPipelineShutsTheSendersWindow(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer = 4000
	p := newPlaybook(t, Options{Endpoint: cfg, Rules: policed(
		rules.Policy{To: rules.Server, Do: rules.Throttle, Rate: 1000, Burst: 1000})})
	p.play(`
		client > S 0:0(0) <mss 1000>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 <mss 1000>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
	`)
	// The client sends as much as it may.
	sent, edge, got := 0, 4001, 0
	step := func() {
		for _, s := range p.dev.out[0] {
			edge = max(edge, int(s.seg.Ack-p.legs[0].isn)+int(s.seg.Window))
		}
		p.dev.out[0] = nil
		for sent+1000 < edge {
			seg := endpoint.Segment{Seq: p.legs[0].isn + 1 + endpoint.Seq(sent), Ack: p.legs[0].iss + 1, Flags: endpoint.ACK, Window: 65535,
				Payload: pattern(endpoint.Client, sent, 1000)}
			p.handle(&endpoint.Packet{Segment: seg, Tuple: p.tuple(0), Hook: endpoint.Early})
			sent += 1000
		}
		for _, s := range p.dev.out[1] {
			if string(s.data) != string(pattern(endpoint.Client, got, len(s.data))) {
				t.Fatalf("wrong octets at %d", got)
			}
			if len(s.data) > 1000 {
				t.Fatalf("a segment of %d octets", len(s.data))
			}
			got += len(s.data)
		}
		p.dev.out[1] = nil
		seg := endpoint.Segment{Seq: p.legs[1].isn + 1, Ack: p.legs[1].iss + 1 + endpoint.Seq(got), Flags: endpoint.ACK, Window: 65535}
		p.handle(&endpoint.Packet{Segment: seg, Tuple: p.tuple(1), Hook: endpoint.Late})
	}
	for range 1000 {
		step()
		p.play("+0.1")
	}
	if got < 99_000 || got > 102_000 {
		t.Errorf("%d octets passed in 100 s at 1000 a second and a burst of 1000", got)
	}
	if held := sent - got; held > 64<<10+4000+2000 {
		t.Errorf("%d octets were taken from the client and not handed on", held)
	}
	if pool := p.shard.Counters().PoolInUse; pool > 1<<20 {
		t.Errorf("%d octets of the pool in use", pool)
	}
	if err := p.shard.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// What a vanished leg had taken and not handed on stays there for good: the
// room that comes free in the pipeline is nobody's.
func TestALegVanishesBeforeAFullPipeline(t *testing.T) {
	r := &rules.Rule{Name: "gone", Match: rules.Match{Probability: 1},
		Streams: []rules.Policy{{To: rules.Server, Do: rules.Throttle, Rate: 20000}},
		Faults:  []rules.Fault{{Leg: rules.Client, On: rules.FirstByte, Do: rules.Vanish, Which: rules.Which{After: time.Second}}},
	}
	p := newPlaybook(t, Options{Rules: withRules(r)})
	p.play(handshake)
	got := 1
	step := func(script string) {
		p.play(script)
		p.dev.out[endpoint.Client] = nil
		for _, seg := range p.dev.out[endpoint.Server] {
			got = max(got, int(seg.seg.Seq-p.legs[endpoint.Server].iss)+len(seg.data))
		}
		p.dev.out[endpoint.Server] = nil
		p.play(fmt.Sprintf("server > . 1:1(0) ack %d", got))
	}
	for i := range 80 {
		step(fmt.Sprintf("client > P. %d:%d(1400) ack 1", i*1400+1, (i+1)*1400+1))
	}
	f := p.shard.live.first
	for range 200 {
		step("+0.05")
	}
	stuck := f.legs[endpoint.Client].ep.Readable()
	if held, _ := f.pipes[endpoint.Server].Held(); held != 0 || stuck == 0 {
		t.Errorf("%d octets are held in the pipeline, %d before it", held, stuck)
	}
	if sent := 80 * 1400; got-1+stuck > sent || got-1+stuck < sent-1400 {
		t.Errorf("the server has %d octets, and %d are stuck of %d", got-1, stuck, sent)
	}
}

func TestAFlowWithoutPoliciesHasNoPipeline(t *testing.T) {
	p := newPlaybook(t, Options{Rules: policed()})
	p.play(handshake)
	if f := p.shard.live.first; f.pipes != nil || f.profile.plans != nil {
		t.Error("it has one")
	}
	// And one with policies in one direction has none in the other.
	p = newPlaybook(t, Options{Rules: policed(rules.Policy{To: rules.Server, Do: rules.Latency, By: time.Second})})
	p.play(handshake)
	if f := p.shard.live.first; f.pipes[rules.Client] != nil || f.pipes[rules.Server] == nil {
		t.Error("the wrong direction has a pipeline")
	}
}
