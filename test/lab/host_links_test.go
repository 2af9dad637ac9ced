package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestHostVLAN has both sides of the gateway on VLANs of one physical kind of
// link, with dots in the devices' names.
func TestHostVLAN(t *testing.T) {
	t.Parallel()
	const clientVLAN, serverVLAN = 10, 20
	l := New(t, Options{Strict: true, Masquerade: true, NoOffload: true})
	// The addresses of the lab move to the VLANs.
	for _, v := range []struct {
		host         *Namespace
		trunk, name  string
		id           uint16
		four, six    string
		route4, via6 string
	}{
		{l.Client, clientDevice, "eth0.10", clientVLAN, "10.1.0.2/24", "fd01::2/64", "10.1.0.1", "fd01::1"},
		{l.Gateway, lanDevice, "lan0.10", clientVLAN, "10.1.0.1/24", "fd01::1/64", "", ""},
		{l.Gateway, wanDevice, "wan0.20", serverVLAN, "10.2.0.1/24", "fd02::1/64", "", ""},
		{l.Server, serverDevice, "eth0.20", serverVLAN, "10.2.0.2/24", "fd02::2/64", "10.2.0.1", "fd02::1"},
	} {
		v.host.VLAN(v.trunk, v.name, v.id)
		v.host.batch("addr flush dev "+v.trunk+" scope global", "addr add "+v.four+" dev "+v.name, "addr add "+v.six+" dev "+v.name+" nodad")
		if v.route4 != "" {
			v.host.batch("route replace default via "+v.route4+" dev "+v.name, "route replace ::/0 via "+v.via6+" dev "+v.name)
		}
	}
	for _, f := range []Family{IPv4, IPv6} {
		l.Gateway.Run(f.Tool(), "-w", "-t", "nat", "-A", "POSTROUTING", "-o", "wan0.20", "-j", "MASQUERADE")
		l.Gateway.Run(f.Tool(), "-w", "-A", "FORWARD", "-i", "lan0.10", "-m", "conntrack", "--ctstate", "NEW",
			"-m", "comment", "--comment", countNew, "-j", "ACCEPT")
	}
	l.StartProxy("[intercept]\nclient_side = [\"lan0.10\"]\n")
	l.EachFamily(func(t *testing.T, f Family) {
		// On the wire there are frames of the VLANs only.
		onLAN := l.Gateway.Capture(lanDevice, fmt.Sprintf("vlan %d and tcp port 7000", clientVLAN))
		onWAN := l.Gateway.Capture(wanDevice, fmt.Sprintf("vlan %d and tcp port 7000", serverVLAN))
		traffic{listen: f.At(7000), to: f.At(7000), seenAs: seenAsGateway(f), connections: rawConnections,
			client: []vantage{{l.Client, "eth0.10"}}, server: []vantage{{l.Server, "eth0.20"}}}.want(t, l)
		for name, c := range map[string]*Capture{"client": onLAN, "server": onWAN} {
			if n := len(handshakes(c.Frames())); n != rawConnections {
				t.Errorf("%d handshakes in the VLAN on the %s's side, want %d", n, name, rawConnections)
			}
		}
		if n := l.Gateway.Counted(f, countNew); n != rawConnections {
			t.Errorf("the firewall judged %d packets NEW for %d connections", n, rawConnections)
		}
		if n := l.Gateway.Counted(f, countInvalid); n != 0 {
			t.Errorf("the firewall called %d packets INVALID", n)
		}
	})
}

// TestHostFragments has a client and a server that send their segments in IP
// fragments, in the wrong order at times.
func TestHostFragments(t *testing.T) {
	t.Parallel()
	const size = 400 // octets of payload of a fragment
	for _, c := range []struct {
		name    string
		options Options
	}{{"open", Options{}}, {"strict", Options{Strict: true}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, c.options)
			l.Client.Fragments(lanMAC, size)
			l.Server.Fragments(wanMAC, size)
			l.StartProxy(clientSide)
			l.EachFamily(func(t *testing.T, f Family) {
				pieces := "ip[6:2] & 0x3fff != 0"
				if f == IPv6 {
					pieces = "ip6[6] == 44"
				}
				sent := map[string]*Capture{"client": l.Client.Capture(clientDevice, pieces), "server": l.Server.Capture(serverDevice, pieces)}
				wantSpliced(t, l, f, f.At(7000), []netip.Addr{f.Client()})
				for who, c := range sent {
					least := rawConnections * rawUp / size
					if n := c.Count(); n < least {
						t.Errorf("the %s sent %d fragments, want %d at least: this proves nothing", who, n, least)
					}
				}
				if c.options.Strict {
					wantJudgedOnce("")(t, l, f, rawConnections)
				}
			})
		})
	}
}
