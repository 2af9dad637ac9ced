package lab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// localFirewall is a host's own, for packets of the loopback device: it counts
// what is new going out and coming in, drops what conntrack cannot place, and
// shuts three ports, each in its way. And it has a rule that publishes a port,
// which is for who comes from elsewhere.
const localFirewall = `*nat
-A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 7000 -j REDIRECT --to-ports 7999
COMMIT
*filter
-A OUTPUT -o lo -p tcp -m conntrack --ctstate INVALID -m comment --comment lab-invalid -j DROP
-A OUTPUT -o lo -p tcp -m tcp --dport 7000 -m conntrack --ctstate NEW -m comment --comment lab-out -j ACCEPT
-A INPUT -i lo -p tcp -m conntrack --ctstate INVALID -m comment --comment lab-invalid -j DROP
-A INPUT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -p tcp -m tcp --dport 7000 -m conntrack --ctstate NEW -m comment --comment lab-new -j ACCEPT
-A INPUT -i lo -p tcp -m tcp --dport 7001 -j DROP
-A INPUT -i lo -p tcp -m tcp --dport 7002 -j REJECT
-A INPUT -i lo -p tcp -m tcp --dport 7003 -j REJECT --reject-with tcp-reset
-A OUTPUT -o lo -p tcp -m tcp --dport 7004 -j REJECT
COMMIT
`

// TestLocalFirewall leaves the host's own firewall in charge of connections of
// the host with itself: it sees each as NEW once on the way out and once on
// the way in and nothing INVALID, and what it forbids stays forbidden.
func TestLocalFirewall(t *testing.T) {
	const connections = 10
	t.Parallel()
	l := New(t, Options{})
	for _, f := range []Family{IPv4, IPv6} {
		l.Gateway.restore(f, localFirewall)
	}
	p := l.StartProxy("[intercept]\nmode = \"local\"\nports = [\"7000-7004\"]\n")
	l.EachFamily(func(t *testing.T, f Family) {
		at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(f.loopback(), port) }
		for port := uint16(7000); port <= 7004; port++ {
			serve(t, l.Gateway, at(port), echo)
		}
		before := p.Counters().Opened
		for range connections {
			l.wantSpliced(p, "the host calls itself", l.Gateway, at(7000), strings.Repeat("data", 50_000), true)
		}
		if n := p.Counters().Opened - before; !Plain && n != connections {
			t.Errorf("tcpmitm had %d connections, want %d", n, connections)
		}
		eventually(t, "all connections have ended", soon, func() (bool, string) {
			out := l.Gateway.Run("ss", "-Htn", "state", "connected", "exclude", "time-wait", "sport", "=", ":7000")
			return out == "", out
		})
		for what, want := range map[string]int{"lab-out": connections, countNew: connections, countInvalid: 0} {
			if n := l.Gateway.Counted(f, what); n != want {
				t.Errorf("the firewall counted %d packets as %s, want %d", n, what, want)
			}
		}
		for port, want := range map[uint16]error{7002: syscall.ECONNREFUSED, 7003: syscall.ECONNREFUSED, 7004: syscall.ECONNREFUSED} {
			began := time.Now()
			c, err := l.Gateway.Dial(at(port), dialWait)
			if err == nil {
				_ = c.Close()
			}
			wantError(t, "a port that the firewall rejects", err, time.Since(began), soon, want)
		}
		c, err := l.Gateway.Dial(at(7001), 1500*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("a port where the firewall drops: %v, want a time-out", err)
		}
	})
}

// TestLocalKilled kills tcpmitm: nothing that it leaves breaks the loopback
// device, and soon nothing is left.
func TestLocalKilled(t *testing.T) {
	t.Parallel()
	if Plain {
		return
	}
	for _, c := range []struct {
		name string
		kill func(*Proxy)
	}{{"guarded", (*Proxy).Kill}, {"unguarded", (*Proxy).KillAll}, {"removed", (*Proxy).KillAll}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, Options{})
			p := l.StartProxy("[intercept]\nmode = \"local\"\nports = [7000]\n")
			at := func(f Family, port uint16) netip.AddrPort { return netip.AddrPortFrom(f.loopback(), port) }
			for _, f := range []Family{IPv4, IPv6} {
				serve(t, l.Gateway, at(f, 7000), echo)
				serve(t, l.Gateway, at(f, 7001), echo)
				l.wantSpliced(p, "before the kill", l.Gateway, at(f, 7000), "text", true)
			}
			c.kill(p)
			for _, f := range []Family{IPv4, IPv6} {
				for _, port := range []uint16{7000, 7001} {
					began := time.Now()
					conn, err := l.Gateway.Dial(at(f, port), dialWait)
					if err != nil {
						t.Errorf("after the kill, port %d: %v", port, err)
						continue
					}
					_ = conn.SetDeadline(time.Now().Add(soon))
					exchange(t, "after the kill", conn, strings.Repeat("data", 50_000))
					_ = conn.Close()
					if took := time.Since(began); took > soon {
						t.Errorf("after the kill, port %d: took %v", port, took)
					}
				}
			}
			switch c.name {
			case "removed":
				if out, err := p.Command("firewall", "remove", "--config", p.Config); err != nil {
					t.Errorf("firewall remove: %v\n%s", err, out)
				}
				p.WantNothingLeft()
				return
			case "unguarded":
				p.Restart()
				for _, f := range []Family{IPv4, IPv6} {
					l.wantSpliced(p, "after the restart", l.Gateway, at(f, 7000), "text", true)
				}
				p.Stop(syscall.SIGTERM) // and this one leaves nothing
				return
			}
			eventually(t, "nothing is left", dialWait, func() (bool, string) {
				diff := p.before.Diff(l.Gateway.Snapshot())
				return diff == "", diff
			})
		})
	}
}

// TestLocalCrashBlock kills tcpmitm while the host is connected with itself:
// both ends of each connection must be reset, new connections be refused, what
// the rules do not choose go on, and after the next start all be spliced again.
func TestLocalCrashBlock(t *testing.T) {
	t.Parallel()
	if Plain {
		return
	}
	l := New(t, Options{})
	p := l.StartProxy("[intercept]\nmode = \"local\"\nports = [7000]\nwhen_down = \"block\"\n")
	ends := make(chan error, 16)
	reads := func(c net.Conn) {
		if err := c.SetReadDeadline(time.Now().Add(orphanLimit + dialWait)); err != nil {
			ends <- err
			return
		}
		_, err := io.Copy(io.Discard, c)
		ends <- err
	}
	at := func(f Family, port uint16) netip.AddrPort { return netip.AddrPortFrom(f.loopback(), port) }
	want := 0
	for _, f := range []Family{IPv4, IPv6} {
		serve(t, l.Gateway, at(f, 7000), func(c *net.TCPConn) {
			_, _ = io.CopyN(c, c, int64(len("hello")))
			reads(c)
		})
		serve(t, l.Gateway, at(f, 7001), echo)
		for range 3 {
			c, err := l.Gateway.Dial(at(f, 7000), dialWait)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			exchange(t, "before the crash", c, "hello")
			go reads(c)
			want += 2
		}
	}
	p.Kill()
	for n := range want {
		select {
		case err := <-ends:
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("an end knows of %v, want a reset", err)
			}
		case <-time.After(orphanLimit):
			t.Fatalf("%d of %d ends know", n, want)
		}
	}
	for _, f := range []Family{IPv4, IPv6} {
		began := time.Now()
		_, err := l.Gateway.Dial(at(f, 7000), dialWait)
		wantError(t, "a new connection", err, time.Since(began), 3*time.Second, syscall.ECONNREFUSED)
		c, err := l.Gateway.Dial(at(f, 7001), dialWait)
		if err != nil {
			t.Errorf("a port that is not chosen: %v", err)
			continue
		}
		exchange(t, "a port that is not chosen", c, "hello")
		_ = c.Close()
	}
	p.Restart()
	for _, f := range []Family{IPv4, IPv6} {
		l.wantSpliced(p, "after the restart", l.Gateway, at(f, 7000), "hello", true)
	}
	p.Stop(syscall.SIGTERM)
}
