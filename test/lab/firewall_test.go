package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStrictFirewall goes through a gateway that drops by default, judges by
// connection state and hides the client: every connection is NEW once, no
// packet is INVALID, and what the firewall denies stays denied.
func TestStrictFirewall(t *testing.T) {
	const connections = 20
	t.Parallel()
	for _, c := range []struct{ name, config string }{
		{"client-side", clientSide},
		{"no-hint", "\n"},
		{"servers", "[intercept]\nservers = [\"10.2.0.0/24\", \"fd02::/64\"]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, Options{Strict: true, Masquerade: true})
			l.StartProxy(c.config)
			l.EachFamily(func(t *testing.T, f Family) {
				peers := make(chan netip.Addr, connections)
				serve(t, l.Server, f.At(7000), func(s *net.TCPConn) {
					peers <- s.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
					echo(s)
				})
				for i := range connections {
					conn := dial(t, l, f.At(7000))
					exchange(t, fmt.Sprintf("connection %d", i), conn, strings.Repeat("data", 50_000))
					if i%2 == 0 {
						_ = conn.CloseWrite()
						_, _ = conn.Read(make([]byte, 1))
					}
					_ = conn.Close()
					if peer := <-peers; peer != f.GatewayWAN() {
						t.Errorf("the server sees %v, want the gateway's %v", peer, f.GatewayWAN())
					}
				}
				time.Sleep(300 * time.Millisecond) // the last FINs pass
				if n := l.Gateway.Counted(f, countInvalid); n != 0 {
					t.Errorf("the firewall called %d packets INVALID, want 0", n)
				}
				if n := l.Gateway.Counted(f, countNew); n != connections {
					t.Errorf("the firewall saw %d NEW packets for %d connections", n, connections)
				}
				wantDenied(t, l, f)
			})
		})
	}
}

// wantDenied asks for what the strict firewall forbids.
func wantDenied(t *testing.T, l *Lab, f Family) {
	t.Helper()
	serve(t, l.Server, f.At(9), echo)
	serve(t, l.Client, netip.AddrPortFrom(f.Client(), 7000), echo)
	atServer := l.Server.Capture(serverDevice, "tcp port 9")
	atClient := l.Client.Capture(clientDevice, "tcp dst port 7000 and dst host "+f.Client().String())
	began := time.Now()
	if c, err := l.Client.Dial(f.At(9), 1200*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("the client reached a port that the firewall forbids")
	} else if time.Since(began) < time.Second {
		t.Errorf("the firewall drops, but the client was told: %v", err)
	}
	if c, err := l.Server.Dial(netip.AddrPortFrom(f.Client(), 7000), 1200*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("the outside reached the inside through a firewall that forbids it")
	}
	if frames := atServer.Frames(); len(frames) > 0 {
		t.Errorf("the server saw what the firewall drops:\n%s", Dump(frames))
	}
	if frames := atClient.Frames(); len(frames) > 0 {
		t.Errorf("the client saw what the firewall drops:\n%s", Dump(frames))
	}
}

// TestPortForward reaches a server through an address and port of the
// gateway's own (DNAT).
func TestPortForward(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config string
		options      Options
	}{
		{"open", clientSide, Options{}},
		{"no-hint", "\n", Options{}},
		{"strict", clientSide, Options{Strict: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, c.options)
			for _, f := range []Family{IPv4, IPv6} {
				l.Gateway.Run(f.Tool(), "-w", "-t", "nat", "-A", "PREROUTING", "-i", lanDevice,
					"-d", f.GatewayLAN().String(), "-p", "tcp", "--dport", "8080",
					"-j", "DNAT", "--to-destination", f.At(7000).String())
			}
			l.StartProxy(c.config)
			l.EachFamily(func(t *testing.T, f Family) {
				serve(t, l.Server, f.At(7000), echo)
				atClient := l.Client.Capture(clientDevice, "tcp port 8080")
				atServer := l.Server.Capture(serverDevice, "tcp port 7000")
				conn := dial(t, l, netip.AddrPortFrom(f.GatewayLAN(), 8080))
				exchange(t, "through the forwarded port", conn, strings.Repeat("data", 50_000))
				_ = conn.CloseWrite()
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("after the end: %d octets, %v", n, err)
				}
				wantTwoConnections(t, atClient.Frames(), atServer.Frames())
			})
		})
	}
}

// TestPathMTU has a hop of a smaller MTU behind the gateway's own device, in
// both directions, which only ICMP tells.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload-%v", offload), func(t *testing.T) {
			l := New(t, Options{NoOffload: !offload})
			www := startNginx(t, l)
			sum := payload(t, www+"/big.bin", 8, size)
			l.Gateway.batch("route add 10.2.0.2/32 dev wan0 mtu 1300", "route add fd02::2/128 dev wan0 mtu 1300",
				"route add 10.1.0.2/32 dev lan0 mtu 1350", "route add fd01::2/128 dev lan0 mtu 1350")
			l.StartProxy(clientSide)
			l.EachFamily(func(t *testing.T, f Family) {
				url := "http://" + hostPort(f.At(80))
				began := time.Now()
				got := l.Client.Run("bash", "-o", "pipefail", "-c", "curl -sS --fail --max-time 15 "+url+"/big.bin | sha256sum")
				if !strings.HasPrefix(got, sum) {
					t.Errorf("download: SHA-256 %s, want %s", got, sum)
				}
				up := "/up/" + f.String() + ".bin"
				l.Client.Run("curl", "-sS", "--fail", "--max-time", "15", "-T", www+"/big.bin", url+up)
				if got := fileSum(t, www+up); got != sum {
					t.Errorf("upload: SHA-256 %s, want %s", got, sum)
				}
				if took := time.Since(began); took > 2*soon {
					t.Errorf("took %v: the path's MTU was found by guessing, if at all", took)
				}
			})
		})
	}
}

// TestFirewallApply puts the rules in without the program.
func TestFirewallApply(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has no rules")
		return
	}
	l := New(t, Options{Strict: true, Masquerade: true})
	serve(t, l.Server, IPv4.At(7000), echo)
	before := l.Gateway.Snapshot()
	passing := l.File("bypass.toml", clientSide)
	if out, err := l.Gateway.Try(Program, "firewall", "apply", "--config", passing); err == nil || !strings.Contains(out, "block") {
		t.Errorf("rules that half the connections would not survive were put in: %v\n%s", err, out)
	}
	if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
		t.Errorf("what was refused was half done:\n%s", diff)
	}
	blocking := l.File("block.toml", strings.Replace(clientSide, "[intercept]", "[intercept]\nwhen_down = \"block\"", 1))
	for range 2 { // a second time changes nothing
		l.Gateway.Run(Program, "firewall", "apply", "--config", blocking)
	}
	if c, err := l.Client.Dial(IPv4.At(7000), 1500*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("a connection passed the rules, and nobody was there to take it")
	}
	// A run takes them over, and refuses to have others put in meanwhile.
	p := l.StartProxy(strings.Replace(clientSide, "[intercept]", "[intercept]\nwhen_down = \"block\"", 1))
	exchange(t, "through the run that took over", dial(t, l, IPv4.At(7000)), "hello")
	if out, err := l.Gateway.Try(Program, "firewall", "apply", "--config", blocking); err == nil || !strings.Contains(out, "another tcpmitm runs") {
		t.Errorf("rules were put in under a tcpmitm that runs: %v\n%s", err, out)
	}
	p.Kill()
	l.Gateway.Run(Program, "firewall", "remove")
	if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
		t.Errorf("firewall remove left:\n%s", diff)
	}
	exchange(t, "past everything", dial(t, l, IPv4.At(7000)), "hello")
}

// TestFirewallApplyThenRun wants nothing to pass from the moment when the rules
// are applied to the one when a run takes its first connection, and a start
// that fails to say that they are still there.
func TestFirewallApplyThenRun(t *testing.T) {
	if Plain {
		t.Log("plain forwarding blocks nothing")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	serve(t, l.Server, IPv4.At(7000), echo)
	before := l.Gateway.Snapshot()
	text := clientSide + "when_down = \"block\"\n"
	file := l.ConfigFile("early.toml", text, l.Path("early.sock"))
	if out, err := l.Gateway.Try(Program, "firewall", "apply", "--config", file); err != nil {
		t.Fatalf("firewall apply: %v\n%s", err, out)
	}
	callers, servers := l.Client.Capture("eth0", "tcp port 7000"), l.Server.Capture("eth0", "tcp port 7000")
	calls := callAllTheTime(l, IPv4.At(7000))
	time.Sleep(200 * time.Millisecond)
	l.Gateway.Run("ip", "tuntap", "add", "mitm-s", "mode", "tun") // somebody else's
	out, err := l.Gateway.Try(Program, "run", "--config", file)
	if err == nil || !strings.Contains(out, "tcpmitm firewall remove") || !strings.Contains(out, "mitm-s") {
		t.Errorf("a start that fails says %v\n%s", err, out)
	}
	l.Gateway.Run("ip", "link", "del", "mitm-s")
	p := l.StartProxy(text)
	p.before = before
	exchange(t, "while it runs", dial(t, l, IPv4.At(7000)), "hello")
	if good, bad := calls(); good == 0 || bad == 0 {
		t.Errorf("%d calls were taken and %d were not: want some of both", good, bad)
	}
	wantNonePast(t, callers, servers)
	p.Stop(syscall.SIGTERM)
}
