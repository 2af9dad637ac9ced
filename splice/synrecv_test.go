package splice

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

func synRecvOf(p *playbook) map[netip.Prefix]SYNRecv {
	sum := map[netip.Prefix]SYNRecv{}
	p.shard.SYNRecv(p.dev.now, sum)
	return sum
}

func TestSYNRecvByNet(t *testing.T) {
	p := newPlaybook(t, Options{Budget: &Budget{HalfOpen: 1}})
	p.play(`
		client > S 0:0(0) <mss 1400>
		server < S 0:0(0)
	`)
	p.clientA = addrPort("10.1.0.200:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < S. 0:0(0) ack 1
	`)
	p.clientA = addrPort("10.1.1.1:40001")
	p.play(`
		client > S 0:0(0) <mss 1400>
		client < S. 0:0(0) ack 1
	`)
	net0, net1 := netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("10.1.1.0/24")
	got := synRecvOf(p)
	if len(got) != 2 || got[net0] != (SYNRecv{net0, 1, 1}) || got[net1] != (SYNRecv{net1, 0, 1}) {
		t.Errorf("got %+v", got)
	}
	// Who answers its cookie is none of the flood.
	p.play(`
		client > . 1:1(0) ack 1
		server < S 0:0(0)
	`)
	if got := synRecvOf(p); got[net1] != (SYNRecv{net1, 1, 0}) {
		t.Errorf("after the answer: %+v", got)
	}
	if met, came := p.shard.budget.SYNs(); met != 2 || came != 1 {
		t.Errorf("%d met the limit and %d answered, want 2 and 1", met, came)
	}
	p.play("+31")
	if got := synRecvOf(p)[net0].Unanswered; got != 1 {
		t.Errorf("%d unanswered after half a minute, want 1", got)
	}
	p.shard.syns.age(p.dev.now.Add(2 * synMemory))
	if got := synRecvOf(p)[net0].Unanswered; got != 0 {
		t.Errorf("%d unanswered after more than a minute, want none", got)
	}
}

// TestNetsThatSendMuchStayAmongMany: the table does not grow, and a net that
// sends one in ten of a flood of random sources is seen for what it is.
func TestNetsThatSendMuchStayAmongMany(t *testing.T) {
	const syns = 200_000
	var s synRecv
	var b Budget
	r := rand.New(rand.NewPCG(3, 4))
	now := endpoint.Time(time.Hour)
	busy4 := fromSource(netip.MustParseAddr("198.51.100.0"))
	busy6 := fromSource(netip.MustParseAddr("2001:db8:0:1::1"))
	for i := range syns {
		t := busy4
		switch {
		case i%10 == 3:
			t = busy6
		case i%10 != 0:
			var a [16]byte
			binary.BigEndian.PutUint64(a[:], r.Uint64())
			t = fromSource(netip.AddrFrom16(a))
		}
		s.cookieSent(now, &b, t)
	}
	for _, busy := range []*endpoint.Tuple{busy4, busy6} {
		found := uint64(0)
		for _, e := range *s.bucket(netOf(busy)) {
			if e.net == netOf(busy) {
				found = e.sum()
			}
		}
		if found < syns/10*9/10 || found > syns/10 {
			t.Errorf("%v has %d, sent were %d", netOf(busy).Prefix(), found, syns/10)
		}
	}
}
