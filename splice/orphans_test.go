package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// killed plays a script on a shard with a ledger, and then has that shard be
// gone: what is left is a new one on the same device, and the ledger's memory.
func killed(t *testing.T, script string) (p *playbook, left []Orphan) {
	t.Helper()
	memory := ledgerMemory(1)
	p = newPlaybook(t, Options{Ledger: NewLedger(memory, always)})
	p.play(script)
	p.dev.now = p.dev.now.Add(time.Second)
	p.shard = NewShard(p.dev, Options{Endpoint: endpoint.DefaultConfig(), Observer: p.watch})
	return p, ReadLedger(memory)
}

// wantResets takes the RSTs that were sent on a leg and wants their numbers,
// counted from our ISN.
func (p *playbook) wantResets(leg endpoint.Leg, want ...int) {
	p.t.Helper()
	sent := p.dev.out[leg]
	p.dev.out[leg] = nil
	if len(sent) != len(want) {
		p.t.Fatalf("%d segments to the %v, want %d RSTs", len(sent), leg, len(want))
	}
	for i, s := range sent {
		if at := p.legs[leg].iss.To(s.seg.Seq); !s.seg.Flags.Has(endpoint.RST) || at != want[i] || s.tuple != p.tuple(leg).Reverse() {
			p.t.Errorf("to the %v: %v at %d on %v, want RST at %d", leg, s.seg.Flags, at, s.tuple, want[i])
		}
	}
}

const bothConnected = `
	client > S 0:0(0) win 65535 <mss 1400>
	server < S 0:0(0) <mss 1400>
	server > S. 0:0(0) ack 1 win 65535 <mss 1400>
	client < S. 0:0(0) ack 1 <mss 1400>
	server < . 1:1(0) ack 1
	client > . 1:1(0) ack 1
`

// Both peers of an idle connection are reset at the number they expect, and a
// peer with something under way also at the first that it may have missed.
func TestOrphansAreReset(t *testing.T) {
	p, left := killed(t, bothConnected)
	if len(left) != 1 {
		t.Fatalf("%d connections in the ledger, want 1", len(left))
	}
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1)
	if n := p.shard.Counters().Orphans; n != 1 {
		t.Errorf("%d orphans counted, want 1", n)
	}

	p, left = killed(t, bothConnected+`
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
	`)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1, 101)
}

// A RST may be lost: it is repeated, but not to a peer that has said itself that
// it is gone, nor on a tuple that has a new connection.
func TestOrphansAreResetAgain(t *testing.T) {
	p, left := killed(t, bothConnected)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1)
	p.play(`+0.9
		quiet
		+0.2`)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1)
	p.play(`server > R 1:1(0)
		+2.1`)
	p.wantResets(endpoint.Client, 1)
	p.play(`+100
		quiet`)
	if p.shard.orphans.groups != 0 || p.shard.wheel.count != 0 {
		t.Errorf("%d groups and %d timers are left", p.shard.orphans.groups, p.shard.wheel.count)
	}
}

// What an orphan's peers go on sending is answered by a RST with the number
// that they ask for, and does not go on to the other peer.
func TestOrphansAreAnswered(t *testing.T) {
	p, left := killed(t, bothConnected+`
		client > P. 1:101(100) ack 1
		server < P. 1:101(100) ack 1
	`)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1, 101)
	p.play(`
		client > P. 101:201(100) ack 1
		client < R 1:1(0)
		server > . 1:1(0) ack 51
		server < R 51:51(0)
		quiet
	`)
	for _, v := range p.dev.verdicts[len(p.dev.verdicts)-2:] {
		if v != endpoint.Take {
			t.Error("an orphan's segment went on")
		}
	}
	// Its own RST ends it: there is nobody left to be answered.
	p.play(`
		server > R 1:1(0)
		server > . 1:1(0) ack 51
		quiet
	`)
}

// A stranger on an orphan's addresses and ports is nobody's orphan: what it
// sends goes on and nobody is reset.
func TestStrangersAreNoOrphans(t *testing.T) {
	for _, segment := range []string{
		"client > . 101:101(0) ack 2",                 // beyond what we had sent
		"client > . 101:101(0) ack 0",                 // before what is unacknowledged
		"client > . 50000000:50000000(0) ack 1",       // far from what we had received
		"client > . 3000000000:3000000000(0) ack 1",   // and on the other side
		"client > P 101:201(100)",                     // without ACK
		"server > S. 70000000:70000000(0) ack 90",     // answers no SYN of ours
		"server > . 2:2(0) ack 2500000000",            //
		"server > R 900000000:900000000(0)",           // a RST for somebody else
		"server > R. 900000000:900000000(0) ack 5000", //
	} {
		p, left := killed(t, bothConnected)
		p.shard.Adopt(p.dev.now, left)
		p.wantResets(endpoint.Client, 1)
		p.wantResets(endpoint.Server, 1)
		p.play(segment + "\nquiet")
		if v := p.dev.verdicts[len(p.dev.verdicts)-1]; v != endpoint.Accept {
			t.Errorf("%s was taken", segment)
		}
		if len(p.shard.orphans.of) != 2 {
			t.Errorf("%s: %d legs of orphans are left, want 2", segment, len(p.shard.orphans.of))
		}
	}
}

// A new connection takes its orphan's place, and time ends all.
func TestOrphansAreForgotten(t *testing.T) {
	p, left := killed(t, bothConnected)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1)
	p.legs[0].isn += 1 << 20
	p.play(bothConnected)
	if n := len(p.shard.orphans.of); n != 0 {
		t.Errorf("%d legs are left of an orphan whose tuple is in use again", n)
	}

	p, left = killed(t, bothConnected)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client, 1)
	p.wantResets(endpoint.Server, 1)
	p.dev.now = p.dev.now.Add(OrphanLife)
	p.play(`
		client > . 1:1(0) ack 1
		quiet
	`)
	if v := p.dev.verdicts[len(p.dev.verdicts)-1]; v != endpoint.Accept || p.shard.orphans.of != nil {
		t.Error("an orphan outlived its time")
	}
}

// A handshake in progress: the server that was dialled is reset whether or not
// its answer has arrived, the client whose SYN is held is told nothing.
func TestOrphansOfAHandshake(t *testing.T) {
	p, left := killed(t, `
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0) <mss 1400>
	`)
	p.shard.Adopt(p.dev.now, left)
	p.wantResets(endpoint.Client)
	p.wantResets(endpoint.Server, 0, 1)
	p.play(`
		server > S. 0:0(0) ack 1 <mss 1400>
		server < R 1:1(0)
		quiet
	`)
}
