package splice

import (
	"testing"

	"tcpmitm/endpoint"
)

func TestOctetsGoBothWays(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		client > P. 1:301(300) ack 1
		server < P. 1:301(300) ack 1
		server > P. 1:501(500) ack 301
		client < P. 1:501(500) ack 301
		client > . 301:301(0) ack 501
		server > . 501:501(0) ack 301
		+1
		server < . 301:301(0) ack 501
		quiet
		client > F. 301:301(0) ack 501
		client < . 501:501(0) ack 302
		server < F. 301:301(0) ack 501
		server > F. 501:501(0) ack 302
		server < . 302:302(0) ack 502
		client < F. 501:501(0) ack 302
		client > . 302:302(0) ack 502
	`)
	s := p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
	if s.ToServer != 300 || s.ToClient != 500 {
		t.Errorf("reported %d octets to the server and %d to the client", s.ToServer, s.ToClient)
	}
}

func TestABurstIsAnsweredOnce(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		burst
		client > . 1:1001(1000) ack 1
		client > . 1001:2001(1000) ack 1
		client > P. 2001:3001(1000) ack 1
		flush
		client < . 1:1(0) ack 3001
		server < P. 1:3001(3000) ack 1
		quiet
	`)
}

func TestHalfCloseLeavesTheOtherDirectionOpen(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		# the last octets come with the FIN
		client > FP. 1:101(100) ack 1
		client < . 1:1(0) ack 102
		server < FP. 1:101(100) ack 1
		server > . 1:1(0) ack 102
		quiet
		+3600
		server > P. 1:1001(1000) ack 102
		client < P. 1:1001(1000) ack 102
		client > . 102:102(0) ack 1001
		+1
		server < . 102:102(0) ack 1001
		server > F. 1001:1001(0) ack 102
		server < . 102:102(0) ack 1002
		client < F. 1001:1001(0) ack 102
		client > . 102:102(0) ack 1002
		quiet
	`)
	p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait)
}

func TestTheServerMayCloseFirst(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		server > FP. 1:101(100) ack 1
		server < . 1:1(0) ack 102
		client < FP. 1:101(100) ack 1
		client > P. 1:51(50) ack 102
		server < P. 1:51(50) ack 102
		server > . 102:102(0) ack 51
		client > F. 51:51(0) ack 102
		client < . 102:102(0) ack 52
		server < F. 51:51(0) ack 102
		server > . 102:102(0) ack 52
		quiet
	`)
	p.wantOver("server", ByFIN, endpoint.TimeWait, endpoint.LastAck)
}

func TestBothCloseAtOnce(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		burst
		client > F. 1:1(0) ack 1
		server > F. 1:1(0) ack 1
		flush
		client < F. 1:1(0) ack 2
		server < F. 1:1(0) ack 2
		client > . 2:2(0) ack 2
		server > . 2:2(0) ack 2
		quiet
	`)
	p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.LastAck)
}

func TestASlowReaderShutsTheOthersWindow(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer, cfg.SendBuffer = 4000, 3000
	p := newPlaybook(t, Options{Endpoint: cfg})
	p.play(`
		client > S 0:0(0) <mss 1000>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 0 <mss 1000>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
	`)
	p.play(`
		burst
		client > . 1:1001(1000) ack 1
		client > . 1001:2001(1000) ack 1
		client > . 2001:3001(1000) ack 1
		flush
		client > . 3001:4001(1000) ack 1
		client > . 4001:5001(1000) ack 1
		client > . 5001:6001(1000) ack 1
		client > . 6001:7001(1000) ack 1
	`)
	q := p.dev.out[endpoint.Client]
	if last := q[len(q)-1].seg; last.Window != 0 {
		t.Fatalf("the client is still offered %d octets", last.Window)
	}
	if got := p.shard.Connections(p.dev.now, nil, -1)[0].Legs; got[1].Queued != 3000 || got[0].Unread != 4000 {
		t.Errorf("%d octets queued and %d unread, want 3000 and 4000", got[1].Queued, got[0].Unread)
	}
	p.dev.out[0], p.dev.out[1] = nil, nil
	p.play(`
		server > . 1:1(0) ack 1 win 60000
	`)
	p.dev.out[0], p.dev.out[1] = nil, nil
	p.play(`
		server > . 1:1(0) ack 3001 win 60000
	`)
	q = p.dev.out[endpoint.Client]
	if len(q) == 0 || q[len(q)-1].seg.Window == 0 {
		t.Error("the client was not told that there is room again")
	}
}

func TestAResetGoesAcross(t *testing.T) {
	for _, from := range []endpoint.Leg{endpoint.Client, endpoint.Server} {
		p := newPlaybook(t, Options{})
		p.play(handshake + from.String() + ` > R 1:1(0)
			` + from.Other().String() + ` < R. 1:1(0) ack 1
			quiet
			# what was under way gets another one
			` + from.Other().String() + ` > P. 1:101(100) ack 1
			` + from.Other().String() + ` < R 1:1(0)
			quiet
		`)
		p.wantOver(from.String(), ByReset, endpoint.Established, endpoint.Established)
	}
}

func TestATimeoutBecomesAReset(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.R2 = 100e9
	p := newPlaybook(t, Options{Endpoint: cfg})
	p.play(handshake + `
		server > P. 1:101(100) ack 1
		+300
		server < . 1:1(0) ack 101
		server < R. 1:1(0) ack 101
	`)
	p.wantOver("client", ByTimeout, endpoint.Established, endpoint.Established)
}

// TestUnreadOctetsOutliveTheirLeg: a slow server takes what a client sent
// long after the client leg's TIME-WAIT.
func TestUnreadOctetsOutliveTheirLeg(t *testing.T) {
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer, cfg.SendBuffer = 4000, 1000
	p := newPlaybook(t, Options{Endpoint: cfg})
	p.play(`
		client > S 0:0(0) <mss 1000>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 0 <mss 1000>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
		server > F. 1:1(0) ack 1 win 0
		server < . 1:1(0) ack 2
		client < F. 1:1(0) ack 1
		client > . 1:1001(1000) ack 2
		client > FP. 1001:2001(1000) ack 2
		+0.2
	`)
	p.dev.out[0], p.dev.out[1] = nil, nil
	// The server keeps its window shut, but answers the probes.
	for range 300 {
		p.play(`+1`)
		if len(p.dev.out[1]) > 0 {
			p.dev.out[1] = nil
			p.play(`server > . 2:2(0) ack 1 win 0`)
		}
	}
	if st := p.shard.Connections(p.dev.now, nil, -1)[0].Legs[0]; st.State != endpoint.Closed || st.Unread != 1000 {
		t.Fatalf("the client leg is %v with %d unread", st.State, st.Unread)
	}
	p.dev.out[0], p.dev.out[1] = nil, nil
	p.play(`server > . 2:2(0) ack 1 win 8000
		+5
		server > . 2:2(0) ack 1001 win 8000
	`)
	q := p.dev.out[1]
	if last := q[len(q)-1].seg; !last.Flags.Has(endpoint.FIN) || last.Seq+endpoint.Seq(len(q[len(q)-1].data)) != p.legs[1].iss+2001 {
		t.Fatalf("the last segment to the server is %s", p.describe(endpoint.Server, &last, q[len(q)-1].data))
	}
	p.play(`server > . 2:2(0) ack 2002 win 8000`)
	p.dev.out[0], p.dev.out[1] = nil, nil
	s := p.wantOver("server", ByFIN, endpoint.TimeWait, endpoint.LastAck)
	if s.ToServer != 2000 {
		t.Errorf("%d octets to the server", s.ToServer)
	}
}

func TestShutdownResetsBothLegs(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake)
	p.shard.Shutdown(p.dev.now)
	p.play(`
		client < R. 1:1(0) ack 1
		server < R. 1:1(0) ack 1
		quiet
	`)
	p.wantOver("tcpmitm", ByShutdown, endpoint.Established, endpoint.Established)
	p.legs[0].isn += 1000
	p.play(`
		client > S 0:0(0) <mss 1400>
		quiet
	`)
	if len(p.dev.packets[endpoint.Server]) != 1 {
		t.Error("a SYN that comes during the shutdown does not pass")
	}
}

func TestShutdownIsSilentToAClientWhoseSYNIsHeld(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	p.shard.Shutdown(p.dev.now)
	p.play(`quiet`)
	p.wantOver("tcpmitm", ByShutdown, endpoint.Listen, endpoint.SynSent)
}

// Urgent data stays where it is in the stream, and the other peer is told
// where it ends (RFC 9293, 3.8.5), though its octets are still to come.
func TestUrgentDataIsRelayed(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		client > UP. 1:101(100) ack 1 urg 150
		server < UP. 1:101(100) ack 1 urg 150
		server > . 1:1(0) ack 101
		+0.05
		client < . 1:1(0) ack 101
		client > P. 101:201(100) ack 1
		server < UP. 101:201(100) ack 1 urg 50
		server > . 1:1(0) ack 201
		client > P. 201:301(100) ack 1
		server < P. 201:301(100) ack 1 urg 0
		server > . 1:1(0) ack 301
	`)
}

// TestAResetAfterEverythingIsNoAbort: a client whose TIME-WAIT is short, and
// whose last ACK was lost, answers our FIN with a RST. The server still gets
// what the client has sent. Found by the simulator, seed 1980.
func TestAResetAfterEverythingIsNoAbort(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		server > . 1:1(0) ack 1 win 0
		client > P. 1:301(300) ack 1
		client > F. 301:301(0) ack 1
		client < . 1:1(0) ack 302
		server > F. 1:1(0) ack 1 win 0
		server < . 1:1(0) ack 2
		client < F. 1:1(0) ack 302
		client > R 302:302(0)
		server > . 2:2(0) ack 1 win 5000
		server < FP. 1:301(300) ack 2
		server > . 2:2(0) ack 302
	`)
	if s := p.wantOver("client", ByFIN, endpoint.LastAck, endpoint.TimeWait); s.ToServer != 300 {
		t.Errorf("reported %d octets to the server", s.ToServer)
	}
}

// A server that has said all, and its FIN, resets the connection because it
// cannot take what the client still says: the client gets the whole answer
// first.
func TestAResetAfterTheWholeStreamWaitsForIt(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) win 1000 <mss 1000>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 <mss 1000>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1 win 1000
		client > P. 1:101(100) ack 1 win 1000
		server < P. 1:101(100) ack 1
		+0.05
		client < . 1:1(0) ack 101
		server > P. 1:1001(1000) ack 1
		client < P. 1:1001(1000) ack 101
		server > FP. 1001:2501(1500) ack 1
		server < . 101:101(0) ack 2502
		quiet
		server > R 2502:2502(0)
		quiet
		# what the client says now is taken, and reaches nobody
		client > P. 101:201(100) ack 1001 win 1000
		client < P. 1001:2001(1000) ack 201
		client > . 201:201(0) ack 2001 win 1000
		client < P. 2001:2501(500) ack 201
		quiet
		client > . 201:201(0) ack 2501 win 1000
		client < R. 2501:2501(0) ack 201
	`)
	s := p.wantOver("server", ByFIN, endpoint.FinWait1, endpoint.CloseWait)
	if s.ToClient != 2500 {
		t.Errorf("%d octets to the client", s.ToClient)
	}
}

// A FIN that has left is followed by the RST at once.
func TestAResetAfterTheFINWasPassedOn(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
		server > F. 1:1(0) ack 1
		server < . 101:101(0) ack 2
		client < F. 1:1(0) ack 101
		server > R 2:2(0)
		client < R. 2:2(0) ack 101
	`)
	p.wantOver("server", ByFIN, endpoint.FinWait1, endpoint.CloseWait)
}
