package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestLimitsWithTraffic fills each limit with real connections, and wants the
// next one to meet the policy, to be counted by its reason, and the old ones to
// go on. splice's tests have each limit with each policy.
func TestLimitsWithTraffic(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has no limits")
		return
	}
	for _, c := range []struct{ limit, policy, reason string }{
		{"connections = 4", "pass", "over-limit"},
		{"connections = 4", "reset", "over-limit"},
		{"per_source = 4", "drop", "over-source"},
		{"per_source = 4", "reset", "over-source"},
	} {
		t.Run(strings.ReplaceAll(c.limit, " = ", "-")+"-"+c.policy, func(t *testing.T) {
			l := New(t, Options{})
			p := l.StartProxy(fmt.Sprintf("%s[limits]\n%s\nover_limit = %q\n", clientSide, c.limit, c.policy))
			l.EachFamily(func(t *testing.T, f Family) {
				serve(t, l.Server, f.At(7000), echo)
				var old []*net.TCPConn
				for range 4 {
					old = append(old, dial(t, l, f.At(7000)))
					exchange(t, "below the limit", old[len(old)-1], "old")
				}
				before := p.Drops(c.reason)
				wantPolicy(t, l, p, f, c.policy)
				if n := p.Drops(c.reason) - before; n == 0 {
					t.Errorf("nothing was counted as %s", c.reason)
				}
				for _, o := range old {
					exchange(t, "an old connection", o, "still here")
					_ = o.Close()
				}
				wantNoConnections(t, p, soon)
				again := dial(t, l, f.At(7000))
				exchange(t, "below the limit again", again, "new")
				if n := p.Counters().Connections; n != 1 {
					t.Errorf("%d connections are spliced, want 1", n)
				}
				_ = again.Close()
				wantNoConnections(t, p, soon)
			})
		})
	}
}

// wantPolicy makes one connection too many.
func wantPolicy(t *testing.T, l *Lab, p *Proxy, f Family, policy string) {
	t.Helper()
	c, err := l.Client.Dial(f.At(7000), 2*time.Second)
	if c != nil {
		defer c.Close()
	}
	var late net.Error
	switch policy {
	case "pass":
		if err != nil {
			t.Errorf("it did not pass: %v", err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(soon))
		exchange(t, "past tcpmitm", c, "past")
		if out := p.SS(); strings.Contains(out, netip.MustParseAddrPort(c.LocalAddr().String()).String()) {
			t.Errorf("it is spliced:\n%s", out)
		}
	case "reset":
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want a refusal", err)
		}
	default:
		if !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("got %v, want silence", err)
		}
	}
}

// TestHalfOpenLimitsWithTraffic has clients call a server that never answers until
// the limit of handshakes is reached, and wants the same as TestLimitsWithTraffic.
func TestHalfOpenLimitsWithTraffic(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has no limits")
		return
	}
	for _, c := range []struct{ limit, policy, reason string }{
		{"half_open = 4", "pass", "over-half-open"},
		{"half_open = 4", "reset", "over-half-open"},
		{"half_open_per_source = 4", "drop", "over-half-open-source"},
		{"half_open_per_source = 4", "reset", "over-half-open-source"},
	} {
		t.Run(strings.ReplaceAll(c.limit, " = ", "-")+"-"+c.policy, func(t *testing.T) {
			l := New(t, Options{})
			p := l.StartProxy(fmt.Sprintf("%s[handshake]\nsyn_cookies = \"never\"\n[limits]\n%s\nover_limit = %q\n", clientSide, c.limit, c.policy))
			l.EachFamily(func(t *testing.T, f Family) {
				serve(t, l.Server, f.At(7000), echo)
				tables := "iptables"
				if f == IPv6 {
					tables = "ip6tables"
				}
				l.Server.Run(tables, "-A", "INPUT", "-p", "tcp", "--dport", "7009", "-j", "DROP")
				old := dial(t, l, f.At(7000))
				exchange(t, "below the limit", old, "old")
				const called, patience = 4, 10 * time.Second
				var calls sync.WaitGroup
				for range called {
					calls.Go(func() {
						if c, err := l.Client.Dial(f.At(7009), patience); err == nil {
							_ = c.Close()
							t.Error("a server that is silent has answered")
						}
					})
				}
				eventually(t, "all of them wait", soon, func() (bool, string) {
					n := p.Counters().HalfOpen
					return n == called, fmt.Sprintf("%d handshakes are in progress, want %d", n, called)
				})
				before := p.Drops(c.reason)
				wantPolicy(t, l, p, f, c.policy)
				if n := p.Drops(c.reason) - before; n == 0 {
					t.Errorf("nothing was counted as %s", c.reason)
				}
				exchange(t, "the old connection", old, "still here")
				exitOf(t, p, 0, "ended", "kill", "--all") // nobody waits for the server any longer
				calls.Wait()
				_ = old.Close()
				wantNoConnections(t, p, soon)
				again := dial(t, l, f.At(7000))
				exchange(t, "below the limit again", again, "new")
				_ = again.Close()
				wantNoConnections(t, p, soon)
			})
		})
	}
}

// TestMemoryLimitWithTraffic fills the memory by a server that does not read:
// the next connection is refused, the process stays within its limit, and when
// the server reads on, all that was sent arrives.
func TestMemoryLimitWithTraffic(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has no limits")
		return
	}
	const limit, stalled = 64 << 20, 24
	l := New(t, Options{})
	p := l.StartProxy(clientSide + "[limits]\nmemory = \"64MiB\"\nover_limit = \"reset\"\n")
	serve(t, l.Server, IPv4.At(7001), echo)
	witness := dial(t, l, IPv4.At(7001))
	read := make(chan struct{})
	sums := make(chan int64, stalled)
	serve(t, l.Server, IPv4.At(7000), func(c *net.TCPConn) {
		_ = c.SetReadBuffer(64 << 10)
		<-read
		n, _ := io.Copy(io.Discard, c)
		sums <- n
	})
	t.Cleanup(func() {
		select {
		case <-read:
		default:
			close(read)
		}
	})
	wrote := make([]int64, stalled)
	full := make(chan int, stalled)
	conns := make([]*net.TCPConn, stalled)
	for i := range conns {
		c, err := l.Client.Dial(IPv4.At(7000), dialWait)
		if err != nil {
			// The limit is reached by fewer.
			full <- i
			continue
		}
		conns[i] = c
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			b := make([]byte, 64<<10)
			for {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				n, err := c.Write(b)
				wrote[i] += int64(n)
				if err != nil {
					break
				}
			}
			full <- i
		}()
	}
	for range conns {
		<-full
	}
	before := p.Drops("over-memory")
	if c, err := l.Client.Dial(IPv4.At(7001), soon); !errors.Is(err, syscall.ECONNREFUSED) {
		if c != nil {
			_ = c.Close()
		}
		t.Errorf("one more connection: %v, want a refusal; %+v", err, p.Counters())
	}
	if n := p.Drops("over-memory") - before; n == 0 {
		t.Error("nothing was counted as over-memory")
	}
	exchange(t, "an old connection at the limit", witness, "still here")
	rss, err := p.RSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d octets in buffers, resident set %d MiB, limit %d MiB", p.Counters().BufferOctets, rss>>20, limit>>20)
	if rss > limit {
		t.Errorf("the resident set is %d octets, the limit %d", rss, limit)
	}
	close(read)
	want, open := int64(0), 0
	for i, c := range conns {
		if c != nil {
			_ = c.CloseWrite()
			want += wrote[i]
			open++
		}
	}
	got := int64(0)
	for range open {
		select {
		case n := <-sums:
			got += n
		case <-time.After(20 * time.Second):
			t.Fatal("what was held does not arrive")
		}
	}
	if got != want {
		t.Errorf("%d octets arrived of %d", got, want)
	}
	again := dial(t, l, IPv4.At(7001))
	exchange(t, "below the limit again", again, "new")
}

// TestTimeoutsWithTraffic: an idle connection and a half-closed one are reset
// at their times, and one that moves is not.
func TestTimeoutsWithTraffic(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding has no timeouts")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide + "[timeouts]\nhandshake = \"1s\"\nidle = \"4s\"\nhalf_closed = \"2s\"\n")
	l.EachFamily(func(t *testing.T, f Family) {
		over := make(chan struct{})
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			b := make([]byte, 10)
			for { // it does not close when the client has
				n, err := c.Read(b)
				switch {
				case err == io.EOF:
					<-over
					return
				case err != nil:
					return
				}
				_, _ = c.Write(b[:n])
			}
		})
		t.Cleanup(func() { close(over) })
		idle, half, busy := dial(t, l, f.At(7000)), dial(t, l, f.At(7000)), dial(t, l, f.At(7000))
		exchange(t, "idle", idle, "hello")
		exchange(t, "half-closed", half, "hello")
		began := time.Now()
		if err := half.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		ended := func(c *net.TCPConn) chan time.Duration {
			at := make(chan time.Duration, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("ended with %v, want a reset", err)
				}
				at <- time.Since(began)
			}()
			return at
		}
		idleAt, halfAt := ended(idle), ended(half)
		for range 14 {
			exchange(t, "busy", busy, "hello")
			time.Sleep(500 * time.Millisecond)
		}
		for _, e := range []struct {
			what string
			at   chan time.Duration
			due  time.Duration
		}{{"idle", idleAt, 4 * time.Second}, {"half-closed", halfAt, 2 * time.Second}} {
			select {
			case took := <-e.at:
				// A quarter later at most, and what a busy machine takes.
				if took < e.due-200*time.Millisecond || took > e.due*5/4+2*time.Second {
					t.Errorf("%s: reset after %v, want %v", e.what, took, e.due)
				}
			case <-time.After(soon):
				t.Errorf("%s: not reset", e.what)
			}
		}
		exchange(t, "busy in the end", busy, "hello")
		_ = busy.SetLinger(0)
		_ = busy.Close()
		wantNoConnections(t, p, soon)
	})
}
