package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHalfClose has nc send all and close its half; the server answers long
// after, when the client's FIN is old.
func TestHalfClose(t *testing.T) {
	const (
		size  = 4 << 20
		late  = 3 * time.Second
		reply = 1 << 20
	)
	t.Parallel()
	l := New(t, Options{})
	sum := payload(t, l.Path("request"), 6, size)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		got := make(chan string, 1)
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			h := sha256.New()
			if _, err := io.Copy(h, c); err != nil {
				got <- "server: " + err.Error()
				return
			}
			got <- hex.EncodeToString(h.Sum(nil))
			time.Sleep(late)
			_, _ = io.CopyN(c, random(7), reply)
		})
		began := time.Now()
		out := l.Client.Run("bash", "-o", "pipefail", "-c",
			fmt.Sprintf("nc -N %v 7000 < %s | sha256sum", f.Server(), l.Path("request")))
		took := time.Since(began)
		select {
		case s := <-got:
			if s != sum {
				t.Errorf("the server got SHA-256 %s, want %s", s, sum)
			}
		case <-time.After(soon):
			t.Fatal("the server did not see the end of the client's half")
		}
		h := sha256.New()
		_, _ = io.CopyN(h, random(7), reply)
		if want := hex.EncodeToString(h.Sum(nil)); !strings.HasPrefix(out, want) {
			t.Errorf("the client got SHA-256 %s, want %s", out, want)
		}
		if took < late || took > late+soon {
			t.Errorf("took %v, want a little more than %v", took, late)
		}
	})
}

// TestServerHalfClose is the mirror image: the server closes its half first
// and goes on reading.
func TestServerHalfClose(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		got := make(chan string, 1)
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			_, _ = c.Write([]byte("all I have to say"))
			_ = c.CloseWrite()
			b, err := io.ReadAll(c)
			got <- fmt.Sprintf("%s %v", b, err)
		})
		c := dial(t, l, f.At(7000))
		b, err := io.ReadAll(c)
		if string(b) != "all I have to say" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		time.Sleep(time.Second)
		for _, s := range []string{"still ", "talking"} {
			if _, err := c.Write([]byte(s)); err != nil {
				t.Errorf("write into the open half: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		_ = c.CloseWrite()
		select {
		case s := <-got:
			if s != "still talking <nil>" {
				t.Errorf("the server read %q, want %q", s, "still talking <nil>")
			}
		case <-time.After(soon):
			t.Error("the server did not see the end of the client's half")
		}
	})
}

// reset closes a connection with RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// TestResetMidStream has either side reset while data flows; the other side
// must see ECONNRESET and not a well-behaved end.
func TestResetMidStream(t *testing.T) {
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		l.Sub("by-server", func(t *testing.T) {
			serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
				_, _ = io.CopyN(c, random(1), 1<<20)
				time.Sleep(100 * time.Millisecond)
				reset(c)
			})
			c := dial(t, l, f.At(7000))
			n, err := io.Copy(io.Discard, c)
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client read %d octets, then %v; want ECONNRESET", n, err)
			}
			if n != 1<<20 {
				t.Errorf("the client read %d octets before the reset, want %d", n, 1<<20)
			}
		})
		l.Sub("by-client", func(t *testing.T) {
			got := make(chan error, 1)
			serve(t, l.Server, f.At(7001), func(c *net.TCPConn) {
				_, err := io.Copy(io.Discard, c)
				got <- err
			})
			c := dial(t, l, f.At(7001))
			if _, err := io.CopyN(c, random(1), 1<<20); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			reset(c)
			select {
			case err := <-got:
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the server read %v, want ECONNRESET", err)
				}
			case <-time.After(soon):
				t.Error("the server did not see the reset")
			}
		})
		l.Sub("by-server-at-once", func(t *testing.T) {
			serve(t, l.Server, f.At(7002), reset)
			c, err := l.Client.Dial(f.At(7002), dialWait)
			if err == nil { // else the reset came before connect(2) was over
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(soon))
				_, err = io.Copy(io.Discard, c)
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client saw %v, want ECONNRESET", err)
			}
		})
	})
}

// TestBothCloseAtOnce closes both ends at the same moment, many times.
func TestBothCloseAtOnce(t *testing.T) {
	const rounds = 50
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		closing := make(chan error, 1)
		ready := make(chan struct{})
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			<-ready
			_ = c.CloseWrite()
			_, err := io.Copy(io.Discard, c)
			closing <- err
		})
		for i := range rounds {
			c := dial(t, l, f.At(7000))
			ready <- struct{}{}
			_ = c.CloseWrite()
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Fatalf("round %d: the client's end: %v", i, err)
			}
			if err := <-closing; err != nil {
				t.Fatalf("round %d: the server's end: %v", i, err)
			}
			_ = c.Close()
		}
	})
}

// TestSlowReader wants back-pressure: a client that does not read stops the
// server after a bounded amount, and gets all of it when it reads again.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const (
		size  = 256 << 20
		bound = 64 << 20 // of four kernel buffers and two of ours, far above what they hold
	)
	l := New(t, Options{})
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		sum := make(chan string, 1)
		wrote := make(chan int64, 1<<14)
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			h, total := sha256.New(), int64(0)
			r := random(9)
			for total < size {
				n, err := io.CopyN(io.MultiWriter(c, h), r, 1<<16)
				total += n
				if err != nil {
					break
				}
				wrote <- total
			}
			sum <- hex.EncodeToString(h.Sum(nil))
		})
		c := dial(t, l, f.At(7000))
		var last int64
		for quiet := false; !quiet; {
			select {
			case last = <-wrote:
			case <-time.After(700 * time.Millisecond):
				quiet = true
			}
		}
		if last == 0 || last > bound {
			t.Errorf("the server could write %d octets to a client that does not read, want 1 to %d", last, bound)
		}
		t.Logf("stopped after %.1f MiB", float64(last)/(1<<20))
		time.Sleep(time.Second) // probes of the window happen
		h := sha256.New()
		n, err := io.Copy(h, c)
		if err != nil || n != size {
			t.Errorf("read %d octets, %v; want %d", n, err, size)
		}
		if s := <-sum; s != hex.EncodeToString(h.Sum(nil)) {
			t.Error("the client read something else than the server wrote")
		}
	})
}
