package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
)

func TestConnectionsShowBothLegs(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	c := p.shard.Connections(p.dev.now, nil, -1)
	if len(c) != 1 || c[0].Legs[0].State != endpoint.Listen || c[0].Legs[1].State != endpoint.SynSent {
		t.Fatalf("while the server is dialled: %+v", c)
	}
	p.legs[0].isn++
	p.clientA = addrPort("10.1.0.1:40001")
	p.play(handshake + `
		+5
		client > P. 1:101(100) ack 1
	`)
	c = p.shard.Connections(p.dev.now, nil, 5)
	if len(c) != 2 || c[1].Client != p.clientA || c[1].Server != p.serverA || c[1].Age != 5*time.Second {
		t.Fatalf("got %+v", c)
	}
	if s := c[1].Legs[1]; s.State != endpoint.Established || s.Queued != 100 || s.Delivered != 0 || s.ISS != p.legs[1].iss || s.IRS != p.legs[1].isn {
		t.Errorf("server leg %+v", s)
	}
	if got := p.shard.Connections(p.dev.now, nil, 1); len(got) != 1 {
		t.Errorf("%d connections shown, 1 was asked for", len(got))
	}
}

func TestConnectionsShowWhatLingers(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + goodbye)
	c := p.shard.Connections(p.dev.now, nil, -1)
	if len(c) != 1 || !c[0].Lingering || c[0].Legs[0].State != endpoint.Closed || c[0].Legs[1].State != endpoint.TimeWait {
		t.Errorf("got %+v", c)
	}
}

func TestLingeringIsBounded(t *testing.T) {
	p := newPlaybook(t, Options{})
	for range maxLingering + 2 {
		f := &flow{profile: p.shard.profileOf(nil), deadline: 1 << 60}
		in := endpoint.NewTuple(p.clientA, p.serverA)
		in.SrcPort = uint16(p.shard.counters.Opened)
		in.Src[0] = byte(p.shard.counters.Opened >> 16)
		p.shard.takePlace(p.dev.now, f, &in)
		p.shard.addFlow(f, in, in.Reverse())
		p.shard.conclude(p.dev.now, f)
	}
	if c := p.shard.Counters(); c.Lingering != maxLingering || len(p.shard.flows) != 2*maxLingering {
		t.Errorf("%d lingering, %d in the table", c.Lingering, len(p.shard.flows))
	}
}
