package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

func TestAHandshakeIsGivenUp(t *testing.T) {
	opt := Options{Patience: Patience{Handshake: 5 * time.Second}}
	t.Run("the server is silent", func(t *testing.T) {
		p := newPlaybook(t, opt)
		p.play(`
			client > S 0:0(0) <mss 1400>
			server < S 0:0(0)
			+4.9
			server < S 0:0(0)
			server < S 0:0(0)
			quiet
			client > S 0:0(0) <mss 1400>
			+0.2
			quiet
		`)
		// The client is told nothing, as by the server.
		p.wantOver("server", ByTimeout, endpoint.Listen, endpoint.SynSent)
	})
	t.Run("the client is silent", func(t *testing.T) {
		p := newPlaybook(t, opt)
		p.play(`
			client > S 0:0(0) <mss 1400>
			server < S 0:0(0)
			server > S. 0:0(0) ack 1
			server < . 1:1(0) ack 1
			client < S. 0:0(0) ack 1
			+4.9
			client < S. 0:0(0) ack 1
			client < S. 0:0(0) ack 1
			quiet
			+0.2
			client < R. 1:1(0) ack 1
			server < R. 1:1(0) ack 1
			quiet
		`)
		p.wantOver("client", ByTimeout, endpoint.SynReceived, endpoint.Established)
	})
	t.Run("client first", func(t *testing.T) {
		p := newPlaybook(t, Options{Patience: opt.Patience, Order: rules.ClientFirst})
		p.play(`
			client > S 0:0(0) <mss 1400>
			client < S. 0:0(0) ack 1
			client > . 1:1(0) ack 1
			server < S 0:0(0)
			+5.1
			server < S 0:0(0)
			server < S 0:0(0)
			client < R. 1:1(0) ack 1
			quiet
		`)
		p.wantOver("server", ByTimeout, endpoint.Established, endpoint.SynSent)
	})
}

// A handshake that is done in time is not ended later.
func TestADoneHandshakeHasNoDeadline(t *testing.T) {
	p := newPlaybook(t, Options{Patience: Patience{Handshake: 5 * time.Second}})
	p.play(handshake)
	p.play("+600\nquiet")
	p.play(goodbye)
}

func TestAnIdleConnectionIsGivenUp(t *testing.T) {
	p := newPlaybook(t, Options{Patience: Patience{Idle: 8 * time.Second}})
	p.play(handshake)
	for range 5 {
		p.play(`
			+7
			client > P. 1:101(100) ack 1
			server < P. 1:101(100) ack 1
			server > . 1:1(0) ack 101
			+0.1
			client < . 1:1(0) ack 101
			quiet
		`)
		p.legs[0].isn += 100
		p.legs[1].iss += 100
	}
	p.legs[0].isn -= 500
	p.legs[1].iss -= 500
	p.play("+7.8\nquiet\n+2.2")
	p.play(`
		client < R. 1:1(0) ack 501
		server < R. 501:501(0) ack 1
		quiet
	`)
	p.wantOver("tcpmitm", ByTimeout, endpoint.Established, endpoint.Established)
}

func TestAHalfClosedConnectionIsGivenUp(t *testing.T) {
	p := newPlaybook(t, Options{Patience: Patience{HalfClosed: 8 * time.Second}})
	p.play(handshake)
	p.play(`
		+600
		client > F. 1:1(0) ack 1
		server < F. 1:1(0) ack 1
		server > . 1:1(0) ack 2
		+0.1
		client < . 1:1(0) ack 2
		+7
		server > P. 1:101(100) ack 2
		client < P. 1:101(100) ack 2
		client > . 2:2(0) ack 101
		+0.1
		server < . 2:2(0) ack 101
		quiet
		+7.8
		quiet
		+2.2
		client < R. 101:101(0) ack 2
		server < R. 2:2(0) ack 101
		quiet
	`)
	p.wantOver("client", ByFIN, endpoint.CloseWait, endpoint.FinWait2)
}
