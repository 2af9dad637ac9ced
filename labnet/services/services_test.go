package services

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// between runs one of the small services over the loopback device.
func between(t *testing.T, serve func(*net.TCPConn) error) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = serve(c.(*net.TCPConn))
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() {
		_ = c.Close()
		_ = l.Close()
		<-done
	})
	return c.(*net.TCPConn)
}

func TestEcho(t *testing.T) {
	c := between(t, echo)
	sent := bytes.Repeat([]byte("what comes goes back "), 1000)
	go func() {
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d octets came back, %v", len(got), err)
	}
}

func TestDiscard(t *testing.T) {
	c := between(t, discard)
	if _, err := c.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
		t.Errorf("it says %q, %v", got, err)
	}
}

// RFC 864: lines of 72 characters, each beginning one later than the last.
func TestChargen(t *testing.T) {
	c := between(t, chargen)
	if _, err := io.WriteString(c, "nobody listens"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 96*(chargenLine+2))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(got, []byte("\r\n"))
	if want := ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefg"; string(lines[0]) != want {
		t.Errorf("the first line is %q", lines[0])
	}
	for i := 1; i < len(lines)-1; i++ {
		if len(lines[i]) != chargenLine || !bytes.Equal(lines[i][:chargenLine-1], lines[i-1][1:]) {
			t.Fatalf("line %d is %q after %q", i, lines[i], lines[i-1])
		}
	}
	if !bytes.Equal(lines[95], lines[0]) {
		t.Errorf("after 95 lines comes %q", lines[95])
	}
}

// Close ends what is open and waits for it.
func TestCloseEndsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer()
	s.listeners = []listener{{l, echo}}
	s.Serve()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(b); err == nil {
		t.Errorf("%d more octets after the end", n)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}
