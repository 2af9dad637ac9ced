package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// orphanLimit is how soon after a crash both peers of each connection must
// know: long before any time-out of their own.
const orphanLimit = 6 * time.Second

// cleanLimit is what the removal of all rules may take where two slow cores are
// shared.
const cleanLimit = 20 * time.Second

// opening is one end of a connection that is to be orphaned.
type opening struct {
	name   string
	conn   *net.TCPConn
	writer chan error // how its writer has ended; nil if there is none
}

// crashLoad opens idle connections and busy ones, in both families, and
// returns both ends of each. The busy ones keep moving octets, in both
// directions, until they end.
func crashLoad(t *testing.T, l *Lab, idle, busy int) (ends []opening) {
	t.Helper()
	var mu sync.Mutex
	add := func(name string, c *net.TCPConn, busy bool) {
		e := opening{name: name, conn: c}
		if busy {
			e.writer = make(chan error, 1)
			go func() { e.writer <- keepBusy(c) }()
		}
		mu.Lock()
		defer mu.Unlock()
		ends = append(ends, e)
	}
	accepted := make(chan struct{}, 2*(idle+busy))
	for _, f := range []Family{IPv4, IPv6} {
		for i, port := range []uint16{7100, 7200} {
			ln := l.Server.Listen(f.At(port))
			go func() {
				for {
					c, err := ln.AcceptTCP()
					if err != nil {
						return
					}
					add(fmt.Sprintf("server of %v", c.RemoteAddr()), c, i == 1)
					accepted <- struct{}{}
				}
			}()
		}
		for range idle {
			c := dial(t, l, f.At(7100))
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			add(fmt.Sprintf("client %v", c.LocalAddr()), c, false)
		}
		for range busy {
			c := dial(t, l, f.At(7200))
			add(fmt.Sprintf("client %v", c.LocalAddr()), c, true)
		}
	}
	for range 2 * (idle + busy) {
		select {
		case <-accepted:
		case <-time.After(dialWait):
			t.Fatal("the server has not accepted all connections")
		}
	}
	time.Sleep(500 * time.Millisecond) // all of them are well under way
	mu.Lock()
	defer mu.Unlock()
	return ends
}

// keepBusy writes until it cannot, and returns why.
func keepBusy(c *net.TCPConn) error {
	block := make([]byte, 64<<10)
	for {
		if _, err := c.Write(block); err != nil {
			return err
		}
	}
}

// drainAll reads all ends until each has ended, and reports how. It is begun
// before the crash: busy connections move only if somebody reads.
func drainAll(ends []opening) (ended func(t *testing.T, since time.Time, limit time.Duration)) {
	type result struct {
		name string
		err  error
		at   time.Time
	}
	results := make(chan result, len(ends))
	for _, e := range ends {
		go func() {
			_ = e.conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := io.Copy(io.Discard, e.conn)
			at := time.Now()
			if err == nil && e.writer != nil {
				err = <-e.writer // a socket tells of its reset once
			}
			results <- result{e.name, err, at}
		}()
	}
	return func(t *testing.T, since time.Time, limit time.Duration) {
		t.Helper()
		slowest := time.Duration(0)
		over := time.After(time.Until(since.Add(limit)))
		for n := range ends {
			select {
			case r := <-results:
				if !errors.Is(r.err, syscall.ECONNRESET) {
					t.Errorf("%s ended with %v, want a reset", r.name, r.err)
				}
				slowest = max(slowest, r.at.Sub(since))
			case <-over:
				t.Fatalf("only %d of %d ends know %v after the crash that it is over", n, len(ends), limit)
			}
		}
		t.Logf("all %d ends were reset; the last knew after %v", len(ends), slowest.Round(time.Millisecond))
	}
}

// TestCrashResetsBothPeers kills tcpmitm under load: its guard resets both
// peers of each connection, idle ones and busy ones, within moments, and new
// connections flow at once.
func TestCrashResetsBothPeers(t *testing.T) {
	if Plain {
		t.Log("plain forwarding has no orphans")
		return
	}
	for _, c := range []struct {
		name    string
		options Options
		config  string
	}{
		{"open", Options{}, clientSide},
		{"no-hint", Options{}, ""},
		{"strict", Options{Strict: true, Masquerade: true}, clientSide},
		{"lossy", Options{Loss: 0.02}, clientSide},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, c.options)
			p := l.StartProxy(c.config + "\n")
			serve(t, l.Server, IPv4.At(7000), echo)
			serve(t, l.Server, IPv6.At(7000), echo)
			// Before the load: what passes before its filter is in place could
			// be too much for tcpdump.
			toClient := l.Client.Capture(clientDevice, "tcp[tcpflags] & tcp-rst != 0 or ip6[53] & 4 != 0")
			toServer := l.Server.Capture(serverDevice, "tcp[tcpflags] & tcp-rst != 0 or ip6[53] & 4 != 0")
			ends := crashLoad(t, l, 10, 3)
			ended := drainAll(ends)
			time.Sleep(300 * time.Millisecond)
			killed := time.Now()
			p.Kill()
			l.EachFamily(func(t *testing.T, f Family) {
				began := time.Now()
				exchange(t, "right after the kill", dial(t, l, f.At(7000)), "hello")
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("the first connection after the kill took %v", took)
				}
			})
			ended(t, killed, orphanLimit+time.Duration(c.options.Loss*1000)*time.Second)
			wantResetsSeen(t, "client", toClient, ends, func(f *Frame) bool { return f.Dst.Port() > 7200 })
			if !c.options.Masquerade { // the server sees another address there
				wantResetsSeen(t, "server", toServer, ends, func(f *Frame) bool { return f.Src.Port() > 7200 })
			}
			p.Restart()
			l.EachFamily(func(t *testing.T, f Family) {
				exchange(t, "after the second start", dial(t, l, f.At(7000)), "hello")
			})
		})
	}
}

// wantResetsSeen wants a captured RST for each connection, in the direction
// that is asked for.
func wantResetsSeen(t *testing.T, where string, c *Capture, ends []opening, towards func(*Frame) bool) {
	t.Helper()
	seen := map[netip.AddrPort]int{}
	for _, f := range Select(c.Frames(), func(f *Frame) bool { return f.RST && towards(f) }) {
		seen[f.Src]++
		seen[f.Dst]++
	}
	for _, e := range ends {
		at, isClient := strings.CutPrefix(e.name, "client ")
		if isClient && seen[netip.MustParseAddrPort(at)] == 0 {
			t.Errorf("no RST at the %s for the connection of %v", where, at)
		}
	}
}

// TestCrashWithoutGuard kills tcpmitm and its guard: the next start resets the
// orphans, and leaves those alone that are not tcpmitm's: a connection that is
// older than it, and one that came while nobody was there.
func TestCrashWithoutGuard(t *testing.T) {
	if Plain {
		t.Log("plain forwarding has no orphans")
		return
	}
	for name, down := range map[string]string{"bypass": "", "block": "when_down = \"block\"\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := New(t, Options{})
			strangers := map[string]*net.TCPConn{}
			for _, f := range []Family{IPv4, IPv6} {
				serve(t, l.Server, f.At(7000), echo)
				strangers[f.String()+" older"] = dial(t, l, f.At(7000))
				exchange(t, "before the start", strangers[f.String()+" older"], "hello")
			}
			p := l.StartProxy(clientSide + down)
			ends := crashLoad(t, l, 10, 3)
			ended := drainAll(ends)
			p.KillAll()
			if down == "" {
				for _, f := range []Family{IPv4, IPv6} {
					c := dial(t, l, f.At(7000))
					strangers[f.String()+" passed by"] = c
					exchange(t, "while nobody is there", c, "hello")
				}
			}
			p.Restart()
			ended(t, time.Now(), orphanLimit)
			for name, c := range strangers {
				exchange(t, name, c, "a stranger lives")
			}
			wantNoConnections(t, p, soon)
		})
	}
}

// TestCrashBlock wants new connections to be refused while tcpmitm is dead
// and when_down is "block": at once, by a RST. Older connections go on.
func TestCrashBlock(t *testing.T) {
	if Plain {
		t.Log("plain forwarding blocks nothing")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	olds := map[Family]*net.TCPConn{}
	for _, f := range []Family{IPv4, IPv6} {
		serve(t, l.Server, f.At(7000), echo)
		olds[f] = dial(t, l, f.At(7000))
	}
	p := l.StartProxy(clientSide + "when_down = \"block\"\n")
	ends := crashLoad(t, l, 3, 1)
	ended := drainAll(ends)
	killed := time.Now()
	p.Kill()
	ended(t, killed, orphanLimit)
	l.EachFamily(func(t *testing.T, f Family) {
		began := time.Now()
		_, err := l.Client.Dial(f.At(7000), dialWait)
		wantError(t, "a new connection", err, time.Since(began), 3*time.Second, syscall.ECONNREFUSED)
		exchange(t, "an older connection", olds[f], "still here")
	})
	// Nothing passes before the next run takes it.
	callers, servers := l.Client.Capture("eth0", "tcp port 7000"), l.Server.Capture("eth0", "tcp port 7000")
	calls := callAllTheTime(l, IPv4.At(7000))
	time.Sleep(200 * time.Millisecond)
	p.Restart()
	time.Sleep(200 * time.Millisecond)
	if taken, refused := calls(); taken == 0 || refused == 0 {
		t.Errorf("of the calls during the start %d were taken and %d refused: want some of both", taken, refused)
	}
	wantNonePast(t, callers, servers)
	l.EachFamily(func(t *testing.T, f Family) {
		exchange(t, "after the second start", dial(t, l, f.At(7000)), "hello")
		exchange(t, "an older connection", olds[f], "and here")
	})
	p.Stop(syscall.SIGTERM)
}

// wantNonePast wants no SYN to have come to the server as the client sent it.
func wantNonePast(t *testing.T, client, server *Capture) {
	t.Helper()
	sent := map[uint32]bool{}
	for _, f := range Select(client.Frames(), isSYN) {
		sent[f.Seq] = true
	}
	if len(sent) == 0 {
		t.Error("the client has called nobody")
	}
	for _, f := range Select(server.Frames(), isSYN) {
		if sent[f.Seq] {
			t.Errorf("a SYN of the client went past tcpmitm: %+v", f)
		}
	}
}

// callAllTheTime has the client call, from several sides and again and again,
// until the function that it returns is called. That one tells how many calls
// were taken, and how many were refused or not answered.
func callAllTheTime(l *Lab, to netip.AddrPort) func() (taken, refused int64) {
	var good, bad atomic.Int64
	var over atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !over.Load() {
				if c, err := l.Client.Dial(to, 300*time.Millisecond); err == nil {
					good.Add(1)
					_ = c.SetLinger(0)
					_ = c.Close()
				} else {
					bad.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() (int64, int64) {
		over.Store(true)
		all.Wait()
		return good.Load(), bad.Load()
	}
}

// TestCrashGuardLeaves wants the guard to remove the rules when nobody starts
// tcpmitm again in time, with "block" too if that is asked for, and not before.
func TestCrashGuardLeaves(t *testing.T) {
	if Plain {
		t.Log("plain forwarding has no guard")
		return
	}
	for name, down := range map[string]string{"bypass": "", "block": "when_down = \"block\"\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const wait = 2 * time.Second
			l := New(t, Options{})
			serve(t, l.Server, IPv4.At(7000), echo)
			p := l.StartProxy(clientSide + down + fmt.Sprintf("guard = %q\n", wait))
			exchange(t, "while it runs", dial(t, l, IPv4.At(7000)), "hello")
			p.Kill()
			killed := time.Now()
			eventually(t, "the guard has removed everything", wait+cleanLimit, func() (bool, string) {
				diff := p.before.Diff(l.Gateway.Snapshot())
				if diff == "" && time.Since(killed) < wait {
					t.Errorf("the rules were removed after %v, want %v", time.Since(killed), wait)
				}
				return diff == "", diff
			})
			exchange(t, "after the guard", dial(t, l, IPv4.At(7000)), "hello")
		})
	}
}
