package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metricsOn is a line of the section [control], with which a lab's configuration
// begins.
const metricsOn = "metrics = \"10.1.0.1:9380\"\n"

// outcome is how a transfer has ended: well, by a reset, or not at all.
type outcome struct {
	err error
	bad bool  // what came was not what was sent
	n   int64 // octets that came
}

// checked moves octets of a seed through an echo, in both directions at once,
// until enough have come back, and compares each.
func checked(c *net.TCPConn, seed byte, size int64) outcome {
	_ = c.SetDeadline(time.Now().Add(commandLimit))
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, io.LimitReader(random(seed), size))
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, c)
	_, _ = io.Copy(want, io.LimitReader(random(seed), n))
	if werr := <-sent; err == nil {
		err = werr // what was not sent does not come back
	}
	return outcome{err: err, bad: string(got.Sum(nil)) != string(want.Sum(nil)) || err == nil && n != size, n: n}
}

// underLoad runs transfers in both families, and short connections meanwhile,
// does something to tcpmitm in the middle, and wants every transfer to have
// ended rightly, or with a reset, within a time.
func underLoad(t *testing.T, l *Lab, transfers int, size int64, disturb func()) (ended, reset int) {
	t.Helper()
	results := make(chan outcome)
	n := 0
	for _, f := range []Family{IPv4, IPv6} {
		serve(t, l.Server, f.At(7000), echo)
		for range transfers {
			n++
			c := dial(t, l, f.At(7000))
			go func() { results <- checked(c, byte(n), size) }()
		}
	}
	done := make(chan struct{})
	short := make(chan error, 1)
	go func() { short <- shortOnes(l, done) }()
	time.Sleep(300 * time.Millisecond)
	disturb()
	for range n {
		r := <-results
		switch {
		case r.bad:
			t.Errorf("octets were corrupted: %d came (%v)", r.n, r.err)
		case r.err == nil:
			ended++
		case errors.Is(r.err, syscall.ECONNRESET):
			reset++
		default:
			t.Errorf("a transfer ended after %d octets with %v", r.n, r.err)
		}
	}
	close(done)
	if err := <-short; err != nil {
		t.Errorf("short connections: %v", err)
	}
	return ended, reset
}

// shortOnes opens one connection after the other, each for one exchange. One
// that is begun while nobody answers may take as long as its SYNs do.
func shortOnes(l *Lab, done <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-done:
			return nil
		default:
		}
		f := []Family{IPv4, IPv6}[i%2]
		c, err := l.Client.Dial(f.At(7000), commandLimit)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		_ = c.SetDeadline(time.Now().Add(commandLimit))
		text := fmt.Sprint("short ", i)
		back := make([]byte, len(text))
		_, werr := c.Write([]byte(text))
		_, rerr := io.ReadFull(c, back)
		_ = c.Close()
		if err := errors.Join(werr, rerr); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			return fmt.Errorf("connection %d: %w", i, err)
		} else if err == nil && string(back) != text {
			return fmt.Errorf("connection %d: sent %q, got %q", i, text, back)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// queueLosses is what the kernel counts: packets that found a queue full, and
// packets that found the socket's buffer full.
func queueLosses(t *testing.T, p *Proxy) (queue, socket uint64) {
	t.Helper()
	var c struct {
		Queues []struct {
			QueueFull  uint64 `json:"queue_full"`
			SocketFull uint64 `json:"socket_full"`
		} `json:"queues"`
	}
	if err := p.Ask("/v1/counters", &c); err != nil {
		t.Fatal(err)
	}
	for _, q := range c.Queues {
		queue, socket = queue+q.QueueFull, socket+q.SocketFull
	}
	return queue, socket
}

// flood sends masses of TCP segments of no connection from the client, which
// tcpmitm has to judge all the same. Large ones arrive in fragments, which the
// gateway puts together.
func flood(t *testing.T, l *Lab, packets, size int) {
	t.Helper()
	err := l.Client.In(func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		to := &syscall.SockaddrInet4{Addr: ServerIP4.As4()}
		segment := make([]byte, 20+size)
		segment[0], segment[2], segment[3] = 0x40, 0x1b, 0x59 // to port 7001
		segment[12], segment[13] = 0x50, 0x10                 // ACK; the checksum is wrong, which costs no less
		for i := range packets {
			segment[1] = byte(i) // over all queues
			if err := syscall.Sendto(fd, segment, 0, to); err != nil && !errors.Is(err, syscall.ENOBUFS) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// troubled has transfers under way while something gets in their way, and
// returns how many were reset; some must live through it. It reports false on a
// gateway that only forwards, in whose way nothing can get.
func troubled(t *testing.T, transfers int, size int64, trouble func(*Lab, *Proxy)) (l *Lab, p *Proxy, reset int, ok bool) {
	t.Helper()
	t.Parallel()
	l = New(t, Options{})
	p = l.StartProxy(metricsOn + clientSide)
	if Plain {
		underLoad(t, l, 2, 1<<20, func() {})
		return l, p, 0, false
	}
	ended, reset := underLoad(t, l, transfers, size, func() { trouble(l, p) })
	t.Logf("%d transfers ended well, %d were reset", ended, reset)
	if ended == 0 {
		t.Error("no transfer has lived through it")
	}
	return l, p, reset, true
}

// TestOverrunStopped stops the process for 10 s under load, while segments of
// nobody fill its queues: both kernel counters say so, and so do metrics and
// log; connections go on when it does, nothing is corrupted, nothing hangs.
func TestOverrunStopped(t *testing.T) {
	l, p, _, ok := troubled(t, 3, 128<<20, func(l *Lab, p *Proxy) {
		signalProxy(t, p, syscall.SIGSTOP)
		defer signalProxy(t, p, syscall.SIGCONT)
		flood(t, l, 20_000, 1000)
		time.Sleep(10 * time.Second)
	})
	if !ok {
		return
	}
	queue, socket := queueLosses(t, p)
	t.Logf("the kernel counted %d packets that found a queue full and %d that found the socket full", queue, socket)
	if queue == 0 {
		t.Error("the kernel's queue was never full: this proves nothing")
	}
	wantLossSaid(t, l, p, "NFQUEUE", "queue_full")
	wantNoConnections(t, p, 30*time.Second)
}

// TestOverrunSocket fills the other bound: large packets find the socket's
// buffer full before their number fills the queue.
func TestOverrunSocket(t *testing.T) {
	l, p, _, ok := troubled(t, 2, 64<<20, func(l *Lab, p *Proxy) {
		signalProxy(t, p, syscall.SIGSTOP)
		defer signalProxy(t, p, syscall.SIGCONT)
		flood(t, l, 6000, 40_000)
		time.Sleep(time.Second)
	})
	if !ok {
		return
	}
	queue, socket := queueLosses(t, p)
	t.Logf("the kernel counted %d packets that found a queue full and %d that found the socket full", queue, socket)
	if socket == 0 {
		t.Error("the socket's buffer was never full: this proves nothing")
	}
	wantLossSaid(t, l, p, "the socket buffer of NFQUEUE", "socket_full")
	wantNoConnections(t, p, 30*time.Second)
}

// wantLossSaid wants the log and the metrics to tell of a loss.
func wantLossSaid(t *testing.T, l *Lab, p *Proxy, log, cause string) {
	t.Helper()
	eventually(t, "the log tells of the loss", soon, func() (bool, string) {
		return strings.Contains(p.Log(), "packets were lost: ") && strings.Contains(p.Log(), log) && strings.Contains(p.Log(), "remedy="), p.Log()
	})
	metrics := l.Client.Run("curl", "-s", "--max-time", "5", "http://10.1.0.1:9380/metrics")
	for line := range strings.Lines(metrics) {
		if strings.Contains(line, `cause="`+cause+`"`) && !strings.HasSuffix(strings.TrimSpace(line), " 0") {
			return
		}
	}
	t.Errorf("the metrics tell of no %s:\n%s", cause, metrics)
}

// signalProxy signals the program under test.
func signalProxy(t *testing.T, p *Proxy, s syscall.Signal) {
	t.Helper()
	if err := p.process.Signal(s); err != nil {
		t.Fatalf("%v: %v", s, err)
	}
}
