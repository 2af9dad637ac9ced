package splice

import (
	"net/netip"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// handshake opens both legs, server first.
const handshake = `
	client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>
	server < S 0:0(0) <mss 1400,ws,sackOK>
	quiet
	server > S. 0:0(0) ack 1 win 65535 <mss 1300,ws 8,sackOK>
	server < . 1:1(0) ack 1
	client < S. 0:0(0) ack 1 <mss 1300,ws,sackOK>
	quiet
	client > . 1:1(0) ack 1
	quiet
`

// goodbye closes both legs, the client first.
const goodbye = `
	client > F. 1:1(0) ack 1
	client < . 1:1(0) ack 2
	server < F. 1:1(0) ack 1
	server > F. 1:1(0) ack 2
	server < . 2:2(0) ack 2
	client < F. 1:1(0) ack 2
	client > . 2:2(0) ack 2
	quiet
`

func TestServerFirstAnswersTheClientWhenTheServerHas(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	if p.legs[0].iss == p.legs[1].iss {
		t.Error("both legs have the same ISN")
	}
	if c := p.shard.Counters(); c.Flows != 1 || c.HalfOpen != 0 {
		t.Errorf("counters %+v", c)
	}
	p.play(goodbye)
	p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
}

func TestOptionsAreThoseThatBothSidesSaid(t *testing.T) {
	for name, script := range map[string]string{
		"the client offers nothing": `
			client > S 0:0(0)
			server < S 0:0(0) <mss 536>
			server > S. 0:0(0) ack 1 <mss 1460>
			server < . 1:1(0) ack 1
			client < S. 0:0(0) ack 1 <mss 1460>
		`,
		"the server declines": `
			client > S 0:0(0) <mss 1460,ws 7,sackOK,ts>
			server < S 0:0(0) <mss 1460,ws,sackOK,ts>
			server > S. 0:0(0) ack 1 <mss 900>
			server < . 1:1(0) ack 1
			client < S. 0:0(0) ack 1 <mss 900>
		`,
		"both want all": `
			client > S 0:0(0) <mss 1460,ws 7,sackOK,ts>
			server < S 0:0(0) <mss 1460,ws,sackOK,ts>
			server > S. 0:0(0) ack 1 <mss 1460,ws 2,sackOK,ts>
			server < . 1:1(0) ack 1 <ts>
			client < S. 0:0(0) ack 1 <mss 1460,ws,sackOK,ts>
		`,
	} {
		t.Run(name, func(t *testing.T) {
			newPlaybook(t, Options{}).play(script)
		})
	}
}

func TestRefusalReachesTheClientAsARST(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > R. 0:0(0) ack 1
		client < R. 0:0(0) ack 1
		quiet
	`)
	p.wantOver("server", ByRefusal, endpoint.Listen, endpoint.SynSent)
}

func TestSilenceStaysSilence(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		+1.1
		server < S 0:0(0)
		client > S 0:0(0) <mss 1400>
		quiet
		+2
		server < S 0:0(0)
		+4
		server < S 0:0(0)
		+8
		server < S 0:0(0)
		+16
		server < S 0:0(0)
		+32
		server < S 0:0(0)
		+70
		quiet
	`)
	p.wantOver("server", ByTimeout, endpoint.Listen, endpoint.SynSent)
}

func TestAClientThatWaitsNoMoreEndsTheDialling(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.SYNRetries = 100
	p := newPlaybook(t, Options{Endpoint: cfg})
	p.play(`
		client > S 0:0(0) <mss 1400>
		+100
		client > S 0:0(0) <mss 1400>
		+100
	`)
	if len(p.watch.closed) != 0 {
		t.Fatal("the dialling ended although the client's SYN came 100 s ago")
	}
	p.play(`+31`)
	p.dev.out[1] = nil
	p.play(`
		# an answer that comes now is reset
		server > S. 0:0(0) ack 1
		server < R 1:1(0)
		quiet
	`)
	p.wantOver("client", ByTimeout, endpoint.Listen, endpoint.SynSent)
}

func TestUnreachableIsPassedOnAsTheSameICMP(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > icmp 3/1
		client < icmp 3/1
		quiet
	`)
	p.wantOver("server", ByUnreachable, endpoint.Listen, endpoint.SynSent)
}

func TestAnICMPErrorAboutAnotherSequenceNumberIsNotOurs(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	p.legs[1].iss += 12345
	p.play(`
		server > icmp 3/1
		quiet
	`)
	if p.shard.Counters().Flows != 1 {
		t.Error("a forged ICMP error ended the connection")
	}
}

func TestTheClientTakesItsSYNBack(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		client > R 1:1(0)
		quiet
		# the server's answer comes too late
		server > S. 0:0(0) ack 1
		server < R 1:1(0)
		quiet
	`)
	p.wantOver("client", ByReset, endpoint.Listen, endpoint.SynSent)
}

func TestANewSYNOfAClientThatGaveUpStartsAnew(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0) <mss 1400>
	`)
	old := p.legs[1].iss
	p.legs[0].isn += 5000
	p.play(`
		client > S 0:0(0) <mss 1200>
		server < S 0:0(0) <mss 1200>
		quiet
	`)
	if !p.legs[1].iss.After(old) {
		t.Errorf("ISS %d after %d", p.legs[1].iss, old)
	}
	if c := p.shard.Counters(); c.Flows != 1 || c.HalfOpen != 1 || len(p.shard.flows) != 2 {
		t.Errorf("counters %+v", c)
	}
}

func TestAClientThatVanishesInTheHandshakeEndsTheServerLeg(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		+130
		server < R. 1:1(0) ack 1
	`)
	p.wantOver("client", ByTimeout, endpoint.SynReceived, endpoint.Established)
}

func TestARSTInTheHandshakeEndsTheServerLeg(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > R 1:1(0)
		server < R. 1:1(0) ack 1
		quiet
	`)
	p.wantOver("client", ByReset, endpoint.SynReceived, endpoint.Established)
}

func TestClientFirst(t *testing.T) {
	p := newPlaybook(t, Options{Order: rules.ClientFirst})
	p.play(`
		client > S 0:0(0) <mss 1400,sackOK>
		client < S. 0:0(0) ack 1 <mss 1460,sackOK>
		quiet
		client > . 1:1(0) ack 1
		server < S 0:0(0) <mss 1400,sackOK>
		# what the client says meanwhile waits for the server
		client > P. 1:101(100) ack 1
		+0.1
		client < . 1:1(0) ack 101
		server > S. 0:0(0) ack 1 <mss 1460,sackOK>
		server < P. 1:101(100) ack 1
		quiet
	`)
}

func TestClientFirstARefusalBecomesAReset(t *testing.T) {
	p := newPlaybook(t, Options{Order: rules.ClientFirst})
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		server < S 0:0(0)
		server > R. 0:0(0) ack 1
		client < R. 1:1(0) ack 1
		quiet
	`)
	p.wantOver("server", ByRefusal, endpoint.Established, endpoint.SynSent)
}

func TestATranslatedDestination(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.target = netip.MustParseAddrPort("192.168.7.7:8080")
	p.play(handshake)
	p.play(goodbye)
	s := p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
	if s.Server != p.serverA {
		t.Errorf("the summary says %v, the client said %v", s.Server, p.serverA)
	}
}

func TestATupleIsUsedAgainWhileItLingers(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + goodbye)
	end := p.legs[1].iss + 2
	p.legs[0].isn += 1000
	p.legs[1].isn += 1000
	p.play(handshake)
	if !p.legs[1].iss.After(end) {
		t.Errorf("the new ISS %d is not after the old connection's %d", p.legs[1].iss, end)
	}
	p.play(goodbye)
	if len(p.watch.closed) != 2 {
		t.Errorf("%d connections reported", len(p.watch.closed))
	}
	p.wantEmpty()
}

func TestPacketsOfNoFlowGoOnUntouched(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > P. 100:200(100) ack 100
		server > P. 100:200(100) ack 100
		server > R. 100:100(0) ack 100
		client early S 0:0(0)
		quiet
	`)
	for i, v := range p.dev.verdicts {
		if v != endpoint.Accept {
			t.Errorf("packet %d was taken", i)
		}
	}
	if got := p.shard.Counters().Reasons[endpoint.ReasonNoFlow]; got != 3 {
		t.Errorf("%d packets counted as of no flow, want 3", got)
	}
	p.wantEmpty()
}

func TestServerPacketsBeforeConnectionTrackingComeAgain(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	p.dev.verdicts = nil
	p.play(`
		server early P. 1:101(100) ack 1
		quiet
		server > P. 1:101(100) ack 1
		client < P. 1:101(100) ack 1
	`)
	if p.dev.verdicts[0] != endpoint.Accept || p.dev.verdicts[1] != endpoint.Take {
		t.Errorf("verdicts %v", p.dev.verdicts)
	}
}

func TestAuthenticatedConnectionsPass(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400,md5>
		quiet
	`)
	if len(p.dev.packets[endpoint.Server]) != 1 || p.dev.verdicts[0] != endpoint.Take {
		t.Error("the SYN did not go on towards the server")
	}
	p.wantEmpty()
}

// In TIME-WAIT an old duplicate of a SYN, by number and by timestamp, takes
// nothing over (RFC 9293, 3.6.1; RFC 6191).
func TestOldSYNDoesNotTakeOverTimeWait(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	ep := endpoint.NewPassive(&cfg, endpoint.Open{ISS: 1, MSS: 1460, WindowScale: -1, Timestamps: true})
	now := endpoint.Time(1)
	var out endpoint.Segment
	tell := func(seq endpoint.Seq, ack endpoint.Seq, f endpoint.Flags) {
		ep.HandleSegment(now, &endpoint.Segment{Seq: seq, Ack: ack, Flags: f, Window: 1000, Options: endpoint.Options{Has: endpoint.HasTimestamps, TSVal: 500}})
		for ep.PollSegment(now, &out) {
		}
	}
	tell(9000, 0, endpoint.SYN)
	tell(9001, 2, endpoint.ACK)
	ep.CloseWrite(now)
	for ep.PollSegment(now, &out) {
	}
	tell(9001, 3, endpoint.FIN|endpoint.ACK)
	if ep.State() != endpoint.TimeWait {
		t.Fatalf("the leg is in %v", ep.State())
	}
	l := &leg{ep: ep}
	for _, c := range []struct {
		why  string
		seq  endpoint.Seq
		ts   uint32 // 0: no timestamp
		want bool
	}{
		{"a later number", 9500, 0, true},
		{"an earlier number, no timestamp", 8000, 0, false},
		{"an earlier number, a later timestamp", 8000, 501, true},
		{"an old duplicate", 8000, 499, false},
	} {
		seg := endpoint.Segment{Seq: c.seq, Flags: endpoint.SYN}
		if c.ts != 0 {
			seg.Options = endpoint.Options{Has: endpoint.HasTimestamps, TSVal: c.ts}
		}
		if got := takesNewSYN(l, &seg); got != c.want {
			t.Errorf("%s: takes over %v, want %v", c.why, got, c.want)
		}
	}
}

// Congestion marks are each leg's own, and ECN is used where both peers can
// (RFC 3168).
func TestECNIsMirrored(t *testing.T) {
	const asks = `
		client > SEW 0:0(0) <mss 1400,sackOK>
		server < SEW 0:0(0) <mss 1400,sackOK>
	`
	p := newPlaybook(t, Options{})
	p.play(asks + `
		server > SE. 0:0(0) ack 1 <mss 1400,sackOK>
		server < . 1:1(0) ack 1
		client < SE. 0:0(0) ack 1 <mss 1400,sackOK>
		client > . 1:1(0) ack 1
		# a router towards us has marked it; the server need not know
		client > P. 1:101(100) ack 1 ecn 3
		client < E. 1:1(0) ack 101
		server < P. 1:101(100) ack 1 ecn 2
	`)
	p = newPlaybook(t, Options{})
	p.play(asks + `
		server > S. 0:0(0) ack 1 <mss 1400,sackOK>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 1400,sackOK>
		client > . 1:1(0) ack 1
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1 ecn 0
	`)
}

func TestOneSourcePortToManyServers(t *testing.T) {
	p := newPlaybook(t, Options{})
	for _, server := range []string{"10.2.0.2:80", "10.2.0.3:80", "10.2.0.2:81"} {
		p.serverA = netip.MustParseAddrPort(server)
		p.target = p.serverA
		p.play(handshake)
	}
	if c := p.shard.Counters(); c.Flows != 3 {
		t.Errorf("%d connections, want 3", c.Flows)
	}
}

// A client that has begun anew answers the challenge to its SYN with a RST and
// sends the SYN again at once; where both are read in one burst, that SYN is
// not refused.
func TestASYNRightBehindItsRST(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	old := p.legs[0].isn
	p.legs[0].isn += 1000
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>
	`)
	p.dev.out[endpoint.Client] = nil // the challenge, in the old numbers
	p.legs[0].isn = old
	p.play(`
		burst
		client > R 1:1(0)
	`)
	p.legs[0].isn += 1000
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>
		flush
		server < R. 1:1(0) ack 1
		server < S 0:0(0) <mss 1400,ws,sackOK>
		quiet
	`)
}
