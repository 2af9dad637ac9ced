package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	soakWhole = 10_000 // connections in a row, each family
	soakShort = 500    // the same with -short
	// shortWait is how long TIME-WAIT lasts at tcpmitm, and twoMSL that plus
	// what is fair.
	shortWait = "[timeouts]\ntime_wait = \"10s\"\n"
	twoMSL    = 10*time.Second + 10*time.Second
)

// TestShortConnections makes 10,000 connections in a row, closed by either
// side and by reset, and then wants nothing to be left of them: no flow, no
// timer, no buffer, no goroutine.
func TestShortConnections(t *testing.T) {
	t.Parallel()
	n := soakWhole
	if testing.Short() {
		n = soakShort
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide + shortWait)
	for _, f := range []Family{IPv4, IPv6} {
		// The first connection brings what is made once and kept.
		serveShort(t, l, f)
		if err := shortConnections(l, f, 1); err != nil {
			t.Fatal(err)
		}
	}
	before := p.Counters()
	l.EachFamily(func(t *testing.T, f Family) {
		began := time.Now()
		if err := shortConnections(l, f, n); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		t.Logf("%d connections in %v, %.0f a second", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
	})
	wantNoConnections(t, p, soon)
	if Plain {
		return
	}
	eventually(t, "flows, timers, buffers and goroutines are as before", twoMSL, func() (bool, string) {
		after := p.Counters()
		seen := fmt.Sprintf("before %+v\nafter  %+v", before, after)
		return after.Connections == 0 && after.Lingering == 0 && after.Timers == 0 && after.Held == 0 &&
			after.BufferOctets <= before.BufferOctets && after.Opened == after.Closed && after.Goroutines <= before.Goroutines, seen
	})
	if out := p.SS(); strings.Contains(out, ":700") {
		t.Errorf("tcpmitm ss still lists connections:\n%s", tail(out))
	}
}

func serveShort(t *testing.T, l *Lab, f Family) {
	t.Helper()
	serve(t, l.Server, f.At(7000), func(c *net.TCPConn) { // the client closes first
		b := make([]byte, 64)
		n, _ := c.Read(b)
		_, _ = c.Write(b[:n])
		_, _ = io.Copy(io.Discard, c)
	})
	serve(t, l.Server, f.At(7001), func(c *net.TCPConn) { // the server closes first
		b := make([]byte, 64)
		n, _ := c.Read(b)
		_, _ = c.Write(b[:n])
	})
}

// shortConnections makes n connections in a row from one thread that stays in
// the client's namespace.
func shortConnections(l *Lab, f Family, n int) error {
	return l.Client.In(func() error {
		for i := range n {
			if err := shortConnection(f, i); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, n, err)
			}
			if i%1000 == 0 {
				runtime.Gosched()
			}
		}
		return nil
	})
}

func shortConnection(f Family, i int) error {
	to := f.At(7000)
	if i%2 == 1 {
		to = f.At(7001)
	}
	d := net.Dialer{Timeout: dialWait, KeepAlive: -1}
	conn, err := d.Dial("tcp", netip.AddrPort.String(to))
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(dialWait)); err != nil {
		return err
	}
	text := fmt.Sprintf("question %d", i)
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return fmt.Errorf("sent %q, got %q", text, b)
	}
	if i%10 == 8 {
		return c.SetLinger(0) // and the deferred Close resets
	}
	if i%2 == 1 { // wait for the server's end
		if n, err := c.Read(b); n != 0 || err != io.EOF {
			return fmt.Errorf("the server's end: %d octets, %w", n, err)
		}
	}
	return nil
}
