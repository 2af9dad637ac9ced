package nfq

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

const transferSize = 6 << 20

// strictFirewall judges as a careful administrator would, and counts what it
// calls new and what invalid.
const strictFirewall = `
	for p in iptables ip6tables; do
		$p -P FORWARD DROP
		$p -A FORWARD -m conntrack --ctstate INVALID -m comment --comment invalid -j DROP
		$p -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		$p -A FORWARD -i lan -m conntrack --ctstate NEW -p tcp --syn --dport 80 -m comment --comment new -j ACCEPT
		$p -t nat -A POSTROUTING -o wan -j MASQUERADE
	done`

var port80 = []PortRange{{80, 80}}

func TestRelayedTransfers(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		in          Intercept
	}{
		{"by port", "", Intercept{Ports: port80}},
		{"by nothing", "", Intercept{PortForwards: true}},
		{"by interface, three queues", "", Intercept{ClientSide: []string{"lan"}, Queues: 3}},
		{"by networks, strict firewall and NAT", strictFirewall,
			Intercept{Servers: []netip.Prefix{netip.MustParsePrefix("10.91.2.0/24"), netip.MustParsePrefix("fd91:2::/64")}}},
		{"strict reverse path filter", "sysctl -qw net.ipv4.conf.all.rp_filter=1", Intercept{Ports: port80}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			run(t, l.gateway, c.rules)
			serveSum(t, listen(t, l.server, ":80"), transferSize)
			relays := startRelays(t, l.gateway, c.in, 80, nil)
			wantTransfer(t, l.client, "10.91.2.2:80", transferSize)
			wantTransfer(t, l.client, "[fd91:2::2]:80", transferSize)
			wantRelayed(t, relays, 100)
			if c.rules == strictFirewall {
				wantCounter(t, l, "invalid", 0)
				wantCounter(t, l, "new", 1)
			}
		})
	}
}

// wantRelayed checks that at least n packets came by the relays, each by the
// one that ShardOf names.
func wantRelayed(t *testing.T, relays []*relay, n uint64) {
	t.Helper()
	var taken uint64
	for _, r := range relays {
		taken += r.taken.Load()
		if n := r.foreign.Load(); n > 0 {
			t.Errorf("shard %d: %d packets belong to another shard", r.shard, n)
		}
	}
	if taken < n {
		t.Errorf("only %d packets came by, want %d: the connections went past the relay", taken, n)
	}
}

// Clients' ports that differ by two come to different queues, and ShardOf
// knows which: all queues see traffic, and no packet is foreign.
func TestConnectionsSpreadOverTheQueues(t *testing.T) {
	l := newLab(t)
	serveSum(t, listen(t, l.server, ":80"), 1000)
	relays := startRelays(t, l.gateway, Intercept{Ports: port80, Queues: 3}, 80, nil)
	for range 24 {
		wantTransfer(t, l.client, "10.91.2.2:80", 1000)
		wantTransfer(t, l.client, "[fd91:2::2]:80", 1000)
	}
	wantRelayed(t, relays, 48*6)
	for _, r := range relays {
		if r.taken.Load() == 0 {
			t.Errorf("no connection came to queue %d", r.shard)
		}
	}
}

// The client names the gateway, which translates that to the server: the
// reader tells the shard what the client named, with the hints naming the
// server's own address and port.
func TestForwardedPortIsTakenWithItsOriginalDestination(t *testing.T) {
	l := newLab(t)
	run(t, l.gateway, strictFirewall+`
		iptables -t nat -A PREROUTING -d 10.91.1.1 -p tcp --dport 8080 -j DNAT --to-destination 10.91.2.2:80
		ip6tables -t nat -A PREROUTING -d fd91:1::1 -p tcp --dport 8080 -j DNAT --to-destination [fd91:2::2]:80`)
	serveSum(t, listen(t, l.server, ":80"), transferSize)
	var seen []netip.AddrPort
	relays := startRelays(t, l.gateway, Intercept{Ports: port80, PortForwards: true}, 80, func(_ *relay, p *endpoint.Packet) (endpoint.Verdict, bool) {
		if p.Flags == endpoint.SYN || p.Flags == endpoint.SYN|endpoint.ECE|endpoint.CWR {
			seen = append(seen, p.Original)
		}
		return 0, false
	})
	wantTransfer(t, l.client, "10.91.1.1:8080", transferSize)
	wantTransfer(t, l.client, "[fd91:1::1]:8080", transferSize)
	wantTransfer(t, l.client, "10.91.2.2:80", transferSize)
	relays[0].stop()
	wantRelayed(t, relays, 100)
	want := []netip.AddrPort{netip.MustParseAddrPort("10.91.1.1:8080"), netip.MustParseAddrPort("[fd91:1::1]:8080"), {}}
	if len(seen) != 3 || seen[0] != want[0] || seen[1] != want[1] || seen[2] != want[2] {
		t.Errorf("original destinations are %v, want %v", seen, want)
	}
	wantCounter(t, l, "invalid", 0)
}

// The gateway itself is the client, and then the server.
func TestLocalMode(t *testing.T) {
	for _, queues := range []int{1, 2} {
		l := newLab(t)
		run(t, l.gateway, `
			sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
			ip route replace default via 10.91.2.2
			for p in iptables ip6tables; do
				$p -P INPUT DROP; $p -P FORWARD DROP
				$p -A INPUT -i lo -j ACCEPT
				$p -A INPUT -m conntrack --ctstate INVALID -j DROP
				$p -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
				$p -A INPUT -p tcp --dport 80 -j ACCEPT
			done
			ip6tables -I INPUT -p ipv6-icmp -j ACCEPT`)
		serveSum(t, listen(t, l.server, ":80"), transferSize)
		serveSum(t, listen(t, l.gateway, ":80"), transferSize)
		refused := listen(t, l.gateway, ":81") // the filter does not let this through
		serveSum(t, refused, 1)
		relays := startRelays(t, l.gateway, Intercept{Mode: Local, Ports: []PortRange{{80, 81}}, Queues: queues, PortForwards: true}, 80, nil)
		last := uint64(0)
		for _, c := range []struct {
			name, address string
			from          *lab
		}{
			{"own client", "10.91.2.2:80", nil},
			{"own client, IPv6", "[fd91:2::2]:80", nil},
			{"own server", "10.91.1.1:80", l},
			{"own server, IPv6", "[fd91:1::1]:80", l},
		} {
			ns := l.gateway
			if c.from != nil {
				ns = l.client
			}
			wantTransfer(t, ns, c.address, transferSize)
			var taken uint64
			for _, r := range relays {
				taken += r.taken.Load()
			}
			if taken < last+50 {
				t.Errorf("%s: only %d packets came by", c.name, taken-last)
			}
			last = taken
		}
		// Loopback passes us.
		wantTransfer(t, l.gateway, "127.0.0.1:80", transferSize)
		wantTransfer(t, l.gateway, "[::1]:80", transferSize)
		for _, r := range relays {
			if n := r.foreign.Load(); n > 0 {
				t.Errorf("%d packets came to the wrong queue", n)
			}
		}
		var now uint64
		for _, r := range relays {
			now += r.taken.Load()
		}
		if now != last {
			t.Errorf("%d packets of loopback connections came by", now-last)
		}
	}
}

// A SYN to the host itself is taken only after the host's filter: what that
// drops we never see.
func TestLocalFilterComesFirst(t *testing.T) {
	l := newLab(t)
	run(t, l.gateway, `iptables -A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset`)
	listen(t, l.gateway, ":80")
	relays := startRelays(t, l.gateway, Intercept{Mode: Local, Ports: port80}, 80, nil)
	if _, err := dial(t, l.client, "10.91.1.1:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dialling a port that the filter rejects: %v, want connection refused", err)
	}
	if n := relays[0].taken.Load(); n > 0 {
		t.Errorf("%d packets came by although the filter rejects them", n)
	}
}

// One queue gets packets to accept and packets to drop, mixed: a batch
// verdict must not take those that are to go on.
func TestAcceptedAndTakenShareAQueue(t *testing.T) {
	l := newLab(t)
	serveSum(t, listen(t, l.server, ":80"), transferSize)
	serveSum(t, listen(t, l.server, ":81"), transferSize)
	relays := startRelays(t, l.gateway, Intercept{Ports: []PortRange{{80, 81}}}, 80, func(_ *relay, p *endpoint.Packet) (endpoint.Verdict, bool) {
		return endpoint.Accept, p.SrcPort == 81 || p.DstPort == 81 && p.Hook == endpoint.Early
	})
	// A SYN cannot just go on: it is in a conntrack zone of its own. Without
	// NAT and a filter nobody minds.
	var both sync.WaitGroup
	for _, a := range []string{"10.91.2.2:80", "10.91.2.2:81"} {
		both.Go(func() { wantTransfer(t, l.client, a, transferSize) })
	}
	both.Wait()
	relays[0].stop()
	c := relays[0].port.Counters()
	if c.Queue.VerdictErrors > 0 || c.Queue.Accepted < 50 || c.Queue.Dropped < 50 {
		t.Errorf("counted %+v, want many accepted, many dropped, no verdict refused", c.Queue)
	}
}

// What the host's filter rejects is rejected: its answers get past us.
func TestHostsOwnRejectionReachesTheClient(t *testing.T) {
	for _, with := range []string{"icmp", "tcp-reset"} {
		l := newLab(t)
		options := map[string]string{"icmp": "", "tcp-reset": "--reject-with tcp-reset"}[with]
		run(t, l.gateway, "iptables -A FORWARD -p tcp --dport 80 -j REJECT "+options+"; ip6tables -A FORWARD -p tcp --dport 80 -j REJECT "+options)
		startRelays(t, l.gateway, Intercept{}, 80, nil)
		for _, a := range []string{"10.91.2.2:80", "[fd91:2::2]:80"} {
			start := time.Now()
			_, err := dial(t, l.client, a)
			if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) > 2*time.Second {
				t.Errorf("%s, %s: error after %v is %v, want connection refused at once", a, with, time.Since(start), err)
			}
		}
	}
}

// A connection that is older than the rules keeps working through them.
func TestOlderConnectionPasses(t *testing.T) {
	l := newLab(t)
	run(t, l.gateway, strictFirewall)
	s := listen(t, l.server, ":80")
	c, err := dial(t, l.client, "10.91.2.2:80")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	// Nothing is ours: everything is accepted.
	relays := startRelays(t, l.gateway, Intercept{Ports: port80}, 1, nil)
	buf := make([]byte, 5)
	for range 3 {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		peer.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := peer.Read(buf); err != nil {
			t.Fatalf("server reads: %v", err)
		}
		if _, err := peer.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil || string(buf) != "hello" {
			t.Fatalf("client reads %q: %v", buf, err)
		}
	}
	if relays[0].accepted.Load() == 0 {
		t.Error("no packet came by")
	}
}

// The gateway's next link is narrower than the segments: the error that the
// gateway's kernel sends to the client about them comes to us.
func TestTooBigFromTheHostItselfIsTaken(t *testing.T) {
	for _, c := range []struct{ address, mtu string }{{"10.91.2.2:80", "1400"}, {"[fd91:2::2]:80", "1400"}} {
		l := newLab(t)
		run(t, l.gateway, "ip link set wan mtu "+c.mtu)
		serveSum(t, listen(t, l.server, ":80"), 1000)
		relays := startRelays(t, l.gateway, Intercept{Ports: port80}, 80, nil)
		conn, err := dial(t, l.client, c.address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(make([]byte, 20000))
		deadline := time.Now().Add(3 * time.Second)
		for relays[0].tooBig.Load() == 0 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if got := relays[0].tooBig.Load(); got != 1400 {
			t.Errorf("%s: the reported MTU is %d, want 1400", c.address, got)
		}
		conn.Close()
	}
}

// The client's kernel judges the errors that we compose.
func TestUnreachableReachesTheClient(t *testing.T) {
	l := newLab(t)
	startRelays(t, l.gateway, Intercept{Ports: port80}, 80, func(r *relay, p *endpoint.Packet) (endpoint.Verdict, bool) {
		if p.ICMP != nil || p.Hook != endpoint.Late {
			return endpoint.Accept, true
		}
		e := endpoint.ICMPError{From: netip.MustParseAddr("10.91.1.1"), Type: icmpUnreachable, Code: 3}
		if !p.IsIPv4() {
			e = endpoint.ICMPError{From: netip.MustParseAddr("fd91:1::1"), Type: icmpv6Unreachable, Code: 4}
		}
		if err := r.port.SendUnreachable(endpoint.Client, endpoint.IPHeader{}, &e, &p.Tuple, &p.Segment); err != nil {
			t.Errorf("SendUnreachable: %v", err)
		}
		return endpoint.Take, true
	})
	for _, a := range []string{"10.91.2.2:80", "[fd91:2::2]:80"} {
		start := time.Now()
		_, err := dial(t, l.client, a)
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) > 2*time.Second {
			t.Errorf("%s: error after %v is %v, want connection refused at once", a, time.Since(start), err)
		}
	}
}

// A SYN that we took and send on as it was opens a connection past us, NAT
// and all.
func TestTakenPacketCanBeSentOn(t *testing.T) {
	l := newLab(t)
	run(t, l.gateway, strictFirewall)
	serveSum(t, listen(t, l.server, ":80"), transferSize)
	var ttl uint8
	sent := 0
	relays := startRelays(t, l.gateway, Intercept{Ports: port80}, 80, func(r *relay, p *endpoint.Packet) (endpoint.Verdict, bool) {
		if p.ICMP != nil || p.Hook != endpoint.Late || p.Flags&endpoint.SYN == 0 || p.Flags&endpoint.ACK != 0 {
			return endpoint.Accept, true
		}
		ttl = p.TTL
		sent++
		if err := r.port.SendPacket(endpoint.Server, p); err != nil {
			t.Errorf("SendPacket: %v", err)
		}
		return endpoint.Take, true
	})
	wantTransfer(t, l.client, "10.91.2.2:80", transferSize)
	wantTransfer(t, l.client, "[fd91:2::2]:80", transferSize)
	relays[0].stop()
	if sent != 2 || ttl != 63 {
		t.Errorf("%d SYNs sent on, with TTL %d; want 2 with 63", sent, ttl)
	}
	wantCounter(t, l, "invalid", 0)
}
