package lab

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOlderConnection has a connection that is older than tcpmitm: it keeps
// working before, during and after it, and so does one with data under way.
func TestOlderConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options Options
	}{{"open", Options{}}, {"strict", Options{Strict: true, Masquerade: true}}} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, c.options)
			olds := map[Family]*net.TCPConn{}
			moved := map[Family]chan error{}
			for _, f := range []Family{IPv4, IPv6} {
				serve(t, l.Server, f.At(7000), echo)
				olds[f] = dial(t, l, f.At(7000))
				exchange(t, f.String()+" before the start", olds[f], "before")
				moved[f] = make(chan error, 1)
				busy := dial(t, l, f.At(7000))
				go func() { moved[f] <- shuttle(busy, 3*time.Second) }()
			}
			p := l.StartProxy(clientSide)
			for f, old := range olds {
				exchange(t, f.String()+" after the start", old, strings.Repeat("after", 10_000))
			}
			l.EachFamily(func(t *testing.T, f Family) {
				exchange(t, "a new connection", dial(t, l, f.At(7000)), "new")
				if err := <-moved[f]; err != nil {
					t.Errorf("the connection with data under way: %v", err)
				}
			})
			p.Stop(syscall.SIGTERM)
			for f, old := range olds {
				exchange(t, f.String()+" after the stop", old, "after the stop")
				_ = old.CloseWrite()
				if _, err := io.Copy(io.Discard, old); err != nil {
					t.Errorf("%v: the end: %v", f, err)
				}
			}
		})
	}
}

// shuttle sends blocks through an echo for a time.
func shuttle(c *net.TCPConn, during time.Duration) error {
	block := make([]byte, 100_000)
	for end := time.Now().Add(during); time.Now().Before(end); {
		if _, err := c.Write(block); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, block); err != nil {
			return err
		}
	}
	return nil
}

// TestStop wants nothing to be left on the gateway after SIGTERM and SIGINT,
// with connections open, and new connections to work again.
func TestStop(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			l := New(t, Options{})
			serve(t, l.Server, IPv4.At(7000), echo)
			serve(t, l.Server, IPv6.At(7000), echo)
			p := l.StartProxy(clientSide)
			open := dial(t, l, IPv4.At(7000))
			exchange(t, "while it runs", open, "hello")
			p.Stop(signal) // compares the gateway before and after
			l.EachFamily(func(t *testing.T, f Family) {
				began := time.Now()
				exchange(t, "after the stop", dial(t, l, f.At(7000)), "hello again")
				if took := time.Since(began); took > time.Second {
					t.Errorf("the first connection after the stop took %v", took)
				}
			})
			if !Plain {
				if _, err := open.Write([]byte("x")); err == nil {
					_ = open.SetReadDeadline(time.Now().Add(soon))
					if n, err := open.Read(make([]byte, 1)); err == nil {
						t.Errorf("a spliced connection still gives %d octets after the stop", n)
					} else if e, ok := err.(net.Error); ok && e.Timeout() {
						t.Error("a spliced connection hangs after the stop instead of ending")
					}
				}
			}
		})
	}
}

// TestKilled kills tcpmitm, which then cannot clean up: within a second new
// connections must work again, and a second start and stop must leave nothing.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		config  string
	}{
		{"open", Options{}, clientSide},
		{"no-hint", Options{}, ""},
		{"strict", Options{Strict: true, Masquerade: true}, clientSide},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, c.options)
			serve(t, l.Server, IPv4.At(7000), echo)
			serve(t, l.Server, IPv6.At(7000), echo)
			p := l.StartProxy(c.config + "\n")
			exchange(t, "while it runs", dial(t, l, IPv4.At(7000)), "hello")
			p.Kill()
			time.Sleep(time.Second)
			l.EachFamily(func(t *testing.T, f Family) {
				began := time.Now()
				exchange(t, "after the kill", dial(t, l, f.At(7000)), strings.Repeat("hello again", 10_000))
				if took := time.Since(began); took > 900*time.Millisecond {
					t.Errorf("a connection begun a second after the kill took %v: its first SYN was lost", took)
				}
			})
			p.Restart()
			l.EachFamily(func(t *testing.T, f Family) {
				exchange(t, "after the second start", dial(t, l, f.At(7000)), "hello")
			})
			p.Stop(syscall.SIGTERM)
		})
	}
}

// TestRemoveByHand has `tcpmitm firewall remove` clean up after a kill.
func TestRemoveByHand(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding leaves nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	p.KillAll()
	if diff := p.before.Diff(l.Gateway.Snapshot()); !strings.Contains(diff, "iptables-save") {
		t.Errorf("the kill left no rules: this proves nothing:\n%s", diff)
	}
	for range 2 { // the second time there is nothing to do, which is no error
		if out, err := p.Command("firewall", "remove", "--config", p.Config); err != nil {
			t.Fatalf("tcpmitm firewall remove: %v\n%s", err, out)
		}
	}
	p.WantNothingLeft()
}

// TestShow wants `tcpmitm firewall show` to print what a start then installs.
func TestShow(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has nothing to show")
		return
	}
	l := New(t, Options{})
	for _, config := range []string{clientSide, "", "[intercept]\nports = [80, \"8000-8099\"]\n",
		"[intercept]\nservers = [\"10.2.0.0/16\", \"fd02::/16\"]\nclients = [\"10.1.0.0/24\"]\n"} {
		path := l.ConfigFile("show.toml", config, l.Path("control.sock"))
		before := l.Gateway.Snapshot()
		shown, err := l.Gateway.Try(Program, "firewall", "show", "--config", path)
		if err != nil {
			t.Fatalf("tcpmitm firewall show: %v\n%s", err, shown)
		}
		if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
			t.Errorf("showing changed the gateway:\n%s", diff)
		}
		p := l.StartProxy(config)
		installed := l.Gateway.Run("iptables-save") + l.Gateway.Run("ip6tables-save")
		rules := 0
		for line := range strings.Lines(shown) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A ") {
				rules++
				if !strings.Contains(installed, line) {
					t.Errorf("shown but not installed as such: %s", line)
				}
			}
		}
		if n := strings.Count(installed, "\n-A "); rules == 0 || n != rules {
			t.Errorf("%d rules shown, %d installed:\nshown\n%s\ninstalled\n%s", rules, n, shown, installed)
		}
		p.Stop(syscall.SIGTERM)
	}
}
