package lab

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRefused wants a server's refusal to be the client's, at once.
func TestRefused(t *testing.T) {
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		capture := l.Client.Capture(clientDevice, "tcp port 7000")
		began := time.Now()
		_, err := l.Client.Dial(f.At(7000), dialWait)
		wantError(t, "connect to a closed port", err, time.Since(began), time.Second, syscall.ECONNREFUSED)
		frames := capture.Frames()
		if len(frames) != 2 || !frames[0].SYN || !frames[1].RST || !frames[1].ACK || frames[1].Ack != frames[0].Seq+1 {
			t.Errorf("the client's wire, want SYN and RST,ACK:\n%s", Dump(frames))
		}
	})
}

// TestSilence wants a silent server to be silence for the client, which gives
// up by its own timer.
func TestSilence(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	l.Client.Sysctl("net.ipv4.tcp_syn_retries", "2") // SYNs at 0, 1, 3 s; the end at 7 s
	p := l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		l.Server.CloseDoor(f, 7000, "DROP")
		capture := l.Client.Capture(clientDevice, "tcp port 7000 or icmp or icmp6[0] < 128")
		atServer := l.Server.Capture(serverDevice, "tcp port 7000")
		began := time.Now()
		failed := make(chan error, 1)
		go func() {
			_, err := l.Client.Dial(f.At(7000), commandLimit)
			failed <- err
		}()
		if !Plain {
			time.Sleep(500 * time.Millisecond)
			if out := p.SS(); !strings.Contains(out, "SYN-SENT") || !strings.Contains(out, f.At(7000).String()) {
				t.Errorf("tcpmitm ss does not show the handshake that is under way:\n%s", out)
			}
		}
		err := <-failed
		took := time.Since(began)
		wantError(t, "connect to a silent server", err, took, 9*time.Second, syscall.ETIMEDOUT)
		if took < 6*time.Second {
			t.Errorf("gave up after %v, which is not the client's own timer", took)
		}
		frames := capture.Frames()
		if got := Select(frames, func(x *Frame) bool { return x.Src.Port() == 7000 || x.ICMP }); len(got) > 0 {
			t.Errorf("the client was told something:\n%s", Dump(frames))
		}
		if syns := Select(atServer.Frames(), func(x *Frame) bool { return x.SYN }); len(syns) < 2 || len(syns) > 8 {
			t.Errorf("the server saw %d SYNs, want a few", len(syns))
		}
	})
}

// TestUnreachable wants an ICMP error about the server leg to reach the client
// as the same ICMP error from the same host.
func TestUnreachable(t *testing.T) {
	l := New(t, Options{})
	l.StartProxy(clientSide)
	limit, most := time.Second, 1
	if Plain {
		// Without a proxy the answer comes while connect(2) still holds the
		// socket, which for IPv6 then waits for the answer to its next SYN.
		limit, most = 3*time.Second, 2
	}
	for _, c := range []struct {
		family     Family
		reject     string
		kind, code uint8
		want       syscall.Errno
	}{
		{IPv4, "icmp-net-unreachable", 3, 0, syscall.ENETUNREACH},
		{IPv4, "icmp-host-unreachable", 3, 1, syscall.EHOSTUNREACH},
		{IPv4, "icmp-port-unreachable", 3, 3, syscall.ECONNREFUSED},
		{IPv4, "icmp-admin-prohibited", 3, 13, syscall.EHOSTUNREACH},
		{IPv6, "icmp6-no-route", 1, 0, syscall.ENETUNREACH},
		{IPv6, "icmp6-adm-prohibited", 1, 1, syscall.EACCES},
		{IPv6, "icmp6-addr-unreachable", 1, 3, syscall.EHOSTUNREACH},
		{IPv6, "icmp6-port-unreachable", 1, 4, syscall.ECONNREFUSED},
	} {
		l.Sub(c.reject, func(t *testing.T) {
			l.Server.Run(c.family.Tool(), "-w", "-F", "INPUT")
			l.Server.CloseDoor(c.family, 7000, "REJECT", "--reject-with", c.reject)
			capture := l.Client.Capture(clientDevice, "tcp port 7000 or icmp or icmp6[0] < 128")
			began := time.Now()
			_, err := l.Client.Dial(c.family.At(7000), dialWait)
			wantError(t, "connect", err, time.Since(began), limit, c.want)
			frames := capture.Frames()
			icmp := Select(frames, func(x *Frame) bool { return x.ICMP })
			if len(icmp) < 1 || len(icmp) > most || icmp[0].Type != c.kind || icmp[0].Code != c.code || icmp[0].Src.Addr() != c.family.Server() {
				t.Errorf("the client's wire, want one ICMP %d/%d from %v:\n%s", c.kind, c.code, c.family.Server(), Dump(frames))
			}
			if got := Select(frames, func(x *Frame) bool { return x.RST || x.SYN && x.ACK }); len(got) > 0 {
				t.Errorf("the client got TCP as well:\n%s", Dump(frames))
			}
		})
	}
}

// TestNobodyThere asks for a host that does not exist: the gateway itself
// finds out, and its ICMP error must reach the client.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		to := f.At(7000)
		to = netipAt(f.NobodyThere(), to.Port())
		began := time.Now()
		_, err := l.Client.Dial(to, dialWait)
		wantError(t, "connect to nobody", err, time.Since(began), 6*time.Second, syscall.EHOSTUNREACH)
	})
}

// TestClientVanishes takes the client off its wire in mid-stream. Idle time
// without it must not hurt; when the server gives up, everything ends at once.
func TestClientVanishes(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		gone, told := make(chan struct{}), make(chan error, 1)
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			b := make([]byte, 5)
			if _, err := c.Read(b); err != nil {
				told <- fmt.Errorf("the first word: %w", err)
				return
			}
			<-gone
			if _, err := c.Write([]byte("are you there?")); err != nil {
				told <- err
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			_, err := c.Read(b)
			reset(c)
			told <- err
		})
		c := dial(t, l, f.At(7000))
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if !Plain {
			if out := p.SS(); !strings.Contains(out, "ESTAB") {
				t.Errorf("tcpmitm ss does not show the connection:\n%s", out)
			}
		}
		l.Client.Run("ip", "link", "set", clientDevice, "down")
		close(gone)
		var timeout net.Error
		select {
		case err := <-told:
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("the server read %v from a client that is gone, want silence", err)
			}
		case <-time.After(soon):
			t.Fatal("the server's question did not end")
		}
		wantNoConnections(t, p, soon)
		l.Client.Run("ip", "link", "set", clientDevice, "up")
		l.Client.restoreRoutes()
	})
}

// TestClientComesBack loses the wire for three seconds with data under way.
func TestClientComesBack(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7000), echo)
		c := dial(t, l, f.At(7000))
		exchange(t, "before", c, "before")
		l.Gateway.Run("ip", "link", "set", lanDevice, "down")
		if _, err := c.Write([]byte("meanwhile")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		l.Gateway.Run("ip", "link", "set", lanDevice, "up")
		l.Gateway.batch("addr replace fd01::1/64 dev lan0 nodad")
		back := make([]byte, len("meanwhile"))
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(back); err != nil || string(back[:n]) != "meanwhile" {
			t.Fatalf("after the wire came back: %q, %v", back, err)
		}
		exchange(t, "after", c, "after")
	})
}
