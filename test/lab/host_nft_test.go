package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// hostRuleset is a firewall and NAT in nftables' own language, as an
// administrator of these days writes it: what it does not know it drops.
const hostRuleset = `
table inet filter {
	counter new { }
	counter invalid { }
	counter denied { }
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state invalid counter name invalid drop
		ct state established,related accept
		tcp dport 9 counter name denied drop
		iifname "lan0" ct state new counter name new accept
		meta l4proto ipv6-icmp accept
	}
}
table inet nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan0" masquerade
	}
}
`

// TestHostNFT has a strict firewall in nftables' own language. No rule of
// ours can overrule it, so tcpmitm says at its start what is to be done, and
// when that has been done all is well.
func TestHostNFT(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	l.Gateway.Run("nft", "-f", l.File("host.nft", hostRuleset))
	p := l.StartProxy(clientSide)
	if !Plain {
		if err := p.process.WaitOutput("connections will break: chain inet filter forward of nftables drops what tcpmitm sends", soon); err != nil {
			t.Error(err)
		}
		serve(t, l.Server, IPv4.At(7999), echo)
		c, err := l.Client.Dial(IPv4.At(7999), 500*time.Millisecond)
		if err == nil {
			_ = c.Close()
			t.Error("a connection works: the remedy proves nothing")
		}
		l.carryOut(t, p.Config, "other-chains")
	}
	l.EachFamily(func(t *testing.T, f Family) {
		l.Gateway.Run("nft", "reset", "counters")
		wantSpliced(t, l, f, f.At(7000), seenAsGateway(f))
		wantDenied(t, l, f)
		for _, c := range []struct {
			name string
			want func(int) bool
		}{
			{"new", func(n int) bool { return n == rawConnections }},
			{"invalid", func(n int) bool { return n == 0 }},
			{"denied", func(n int) bool { return n > 0 }},
		} {
			if n := l.namedCounter(t, c.name); !c.want(n) {
				t.Errorf("the counter %q of the firewall is at %d, after %d connections", c.name, n, rawConnections)
			}
		}
	})
}

// TestHostStrictSourceRules has a check of sources that is made of rules, for
// IPv6, where the kernel has no setting for it, too.
func TestHostStrictSourceRules(t *testing.T) {
	t.Parallel()
	l := New(t, Options{Strict: true, Masquerade: true})
	for _, f := range []Family{IPv4, IPv6} {
		l.Gateway.Run(f.Tool(), "-w", "-t", "mangle", "-A", "PREROUTING", "-m", "rpfilter", "--invert", "-j", "DROP")
	}
	p := l.StartProxy(clientSide)
	if !Plain {
		if err := p.process.WaitOutput("connections will break: a rule drops packets whose source lives elsewhere", soon); err != nil {
			t.Error(err)
		}
		l.carryOut(t, p.Config, "source-check")
	}
	l.EachFamily(func(t *testing.T, f Family) {
		wantSpliced(t, l, f, f.At(7000), seenAsGateway(f))
		wantJudgedOnce("")(t, l, f, rawConnections)
		// What the check is for it still does.
		forged := netip.AddrPortFrom(f.pick(netip.MustParseAddr("10.2.0.99"), netip.MustParseAddr("fd02::99")), 4711)
		atServer := l.Server.Capture(serverDevice, "tcp port 4711")
		l.Client.batch(fmt.Sprintf("addr add %v/%d dev eth0%s", forged.Addr(), forged.Addr().BitLen(), f.noDAD()))
		var failed net.Error
		if c, err := l.Client.DialFrom(forged, f.At(7000), 500*time.Millisecond); err == nil {
			_ = c.Close()
			t.Error("a connection with a forged source was made")
		} else if !errors.As(err, &failed) || !failed.Timeout() {
			t.Errorf("a connection with a forged source: %v", err)
		}
		if frames := atServer.Frames(); len(frames) > 0 {
			t.Errorf("the server saw a forged source:\n%s", Dump(frames))
		}
	})
	for _, f := range []Family{IPv4, IPv6} {
		for _, device := range []string{"mitm-c", "mitm-s"} { // the remedy is the host's, not tcpmitm's
			_, _ = l.Gateway.Try(f.Tool(), "-w", "-t", "mangle", "-D", "PREROUTING", "-i", device, "-j", "RETURN")
		}
	}
}

// carryOut asks the doctor and does what it says about one check, upon which
// it must be content.
func (l *Lab) carryOut(t *testing.T, config, check string) {
	t.Helper()
	done := 0
	for _, f := range examine(t, l, config).Findings {
		if f.Check == check && f.Level == "broken" {
			command, _, _ := strings.Cut(f.Remedy, ", in the file")
			l.Gateway.Run("sh", "-ec", command)
			done++
		}
	}
	if done == 0 {
		t.Errorf("the doctor finds nothing of %s", check)
	}
	if d := examine(t, l, config); d.has(check, "broken") {
		t.Errorf("its remedy does not please the doctor: %+v", d)
	}
}

// namedCounter reads a counter of the host's own ruleset.
func (l *Lab) namedCounter(t *testing.T, name string) int {
	t.Helper()
	out := l.Gateway.Run("nft", "list", "counter", "inet", "filter", name)
	_, after, _ := strings.Cut(out, "packets ")
	var packets int
	if _, err := fmt.Sscan(after, &packets); err != nil {
		t.Fatalf("counter %s: %v\n%s", name, err, out)
	}
	return packets
}
