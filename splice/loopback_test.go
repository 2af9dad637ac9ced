package splice

import (
	"net/netip"
	"testing"

	"tcpmitm/endpoint"
)

// onLoopback is a playbook of a connection of the host with itself.
func onLoopback(t *testing.T, opt Options) *playbook {
	p := newPlaybook(t, opt)
	p.loopback = true
	p.clientA, p.serverA = netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:80")
	p.target = p.serverA
	return p
}

// Both legs of a connection of the host with itself lead over the loopback
// device, and of two segments with the same addresses each finds its leg.
func TestLoopbackLegs(t *testing.T) {
	p := onLoopback(t, Options{Local: true, MaxPacket: 16 << 10})
	p.play(`
		client > S 0:0(0) win 65535 <mss 65495>
		server < S 0:0(0) <mss 16344>
		server > S. 0:0(0) ack 1 win 65535 <mss 65495>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 16344>
		client > . 1:1(0) ack 1 win 65535
		client > P. 1:101(100) ack 1 win 65535
		server < P. 1:101(100) ack 1
		server > P. 1:51(50) ack 101 win 65535
		client < P. 1:51(50) ack 101
		quiet
	`)
	for l, ways := range p.dev.ways {
		for _, loopback := range ways {
			if !loopback {
				t.Errorf("what went to the %v did not go over the loopback device", endpoint.Leg(l))
			}
		}
	}
}

// A SYN that is sent again is taken before conntrack sees it; a new one on the
// same tuple meets the filter first, and so does any on other devices.
func TestRepeatedSYNOnLoopback(t *testing.T) {
	p := onLoopback(t, Options{Local: true})
	p.play(`
		client early S 0:0(0) win 65535 <mss 1400>
		client > S 0:0(0) win 65535 <mss 1400>
		server < S 0:0(0) <mss 1400>
		client early S 0:0(0) win 65535 <mss 1400>
		client early S 7:7(0) win 65535 <mss 1400>
		quiet
	`)
	p.loopback = false
	p.play(`client early S 0:0(0) win 65535 <mss 1400>`)
	want := []endpoint.Verdict{endpoint.Accept, endpoint.Take, endpoint.Take, endpoint.Accept, endpoint.Accept}
	for i, v := range p.dev.verdicts {
		if i >= len(want) || v != want[i] {
			t.Fatalf("verdicts %v, want %v", p.dev.verdicts, want)
		}
	}
}

// Whoever called another address, which the host has translated to one of its
// own, is not answered over the loopback device.
func TestTranslatedToLoopback(t *testing.T) {
	p := onLoopback(t, Options{Local: true})
	p.clientA, p.serverA = netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.9.9.9:80")
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400>
		server < S 0:0(0) <mss 1400>
		server > R. 0:0(0) ack 1
		client < R. 0:0(0) ack 1
	`)
	if got := p.dev.ways; len(got[0]) != 1 || got[0][0] || len(got[1]) != 1 || !got[1][0] {
		t.Errorf("over the loopback device went %v, want only what went to the server", got)
	}
}

// A socket that calls itself has but one end, and is left alone.
func TestSelfConnectPasses(t *testing.T) {
	p := onLoopback(t, Options{Local: true})
	p.clientA = p.serverA
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400>
		quiet
	`)
	if len(p.dev.packets[endpoint.Server]) != 1 || len(p.shard.flows) != 0 {
		t.Errorf("%d packets were passed on, and there are %d flows", len(p.dev.packets[endpoint.Server]), len(p.shard.flows))
	}
}

// Nor do we send longer segments than that, whatever the peer would take: on
// the loopback device with IPv6 that is more than a packet of ours may have.
func TestLoopbackSegments(t *testing.T) {
	p := onLoopback(t, Options{Local: true, MaxPacket: 1000})
	p.play(`
		client > S 0:0(0) win 65535 <mss 65495>
		server < S 0:0(0) <mss 960>
		server > S. 0:0(0) ack 1 win 65535 <mss 65495>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 960>
		client > . 1:1(0) ack 1 win 65535
		client > P. 1:1921(1920) ack 1 win 65535
		server < P. 1:1921(1920) ack 1
	`)
	if mss := p.dev.mss; mss != 960 {
		t.Errorf("a super-segment is cut into pieces of %d octets, want 960", mss)
	}
}
