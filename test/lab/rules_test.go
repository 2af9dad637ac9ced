package lab

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

const actionRules = clientSide + `
[[rule]]
name   = "past us"
match  = { ports = [7201] }
action = "pass"

[[rule]]
name   = "no"
match  = { ports = [7202] }
action = "reset"

[[rule]]
name   = "nothing"
match  = { ports = ["7203-7204"] }
action = "drop"

[[rule]]
name   = "every other"
match  = { ports = [7205], every = 2 }
action = "reset"

[[rule]]
name   = "somebody else"
match  = { ports = [7206], clients = ["10.9.0.0/16", "fd09::/64"] }
action = "reset"

[[rule]]
name   = "too late"
match  = { ports = [7201, 7202, 7203] }
action = "splice"
`

// TestActions wants each action of a rule to do what it says, and the first
// rule that matches to decide.
func TestActions(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy(actionRules)
	l.EachFamily(func(t *testing.T, f Family) {
		for port := uint16(7201); port <= 7206; port++ {
			serve(t, l.Server, f.At(port), echo)
		}
		l.Sub("pass", func(t *testing.T) {
			atClient := l.Client.Capture(clientDevice, "tcp port 7201")
			atServer := l.Server.Capture(serverDevice, "tcp port 7201")
			c := dial(t, l, f.At(7201))
			exchange(t, "past us", c, strings.Repeat("hello", 20_000))
			if !Plain && strings.Contains(p.SS(), ":7201") {
				t.Errorf("tcpmitm has a connection that should pass:\n%s", p.SS())
			}
			client, server := handshakes(atClient.Frames()), handshakes(atServer.Frames())
			if len(client) != 1 || len(server) != 1 {
				t.Fatalf("%d and %d handshakes, want one on each leg", len(client), len(server))
			}
			for from, h := range client {
				s := server[from]
				if h.syn == nil || s.syn == nil || h.synAck == nil || s.synAck == nil ||
					h.syn.Seq != s.syn.Seq || h.synAck.Seq != s.synAck.Seq {
					t.Error("a connection that should pass was ended and opened again")
				}
			}
		})
		l.Sub("reset", func(t *testing.T) {
			atServer := l.Server.Capture(serverDevice, "tcp port 7202")
			began := time.Now()
			c, err := l.Client.Dial(f.At(7202), dialWait)
			if Plain {
				_ = c.Close()
				return
			}
			wantError(t, "connect", err, time.Since(began), time.Second, syscall.ECONNREFUSED)
			if frames := atServer.Frames(); len(frames) > 0 {
				t.Errorf("the server was asked:\n%s", Dump(frames))
			}
		})
		l.Sub("drop", func(t *testing.T) {
			atServer := l.Server.Capture(serverDevice, "tcp port 7204")
			atClient := l.Client.Capture(clientDevice, "tcp src port 7204 or icmp or icmp6[0] < 128")
			c, err := l.Client.Dial(f.At(7204), 1500*time.Millisecond)
			if Plain {
				_ = c.Close()
				return
			}
			if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connect: %v, want silence", err)
			}
			if frames := append(atServer.Frames(), atClient.Frames()...); len(frames) > 0 {
				t.Errorf("somebody was told:\n%s", Dump(frames))
			}
		})
		l.Sub("every", func(t *testing.T) {
			refused := 0
			for range 10 {
				if c, err := l.Client.Dial(f.At(7205), dialWait); err != nil {
					refused++
				} else {
					exchange(t, "one that the rule leaves alone", c, "hello")
					_ = c.Close()
				}
			}
			if want := 5; refused != want && !Plain {
				t.Errorf("%d of 10 refused, want %d", refused, want)
			}
		})
		l.Sub("no-match", func(t *testing.T) {
			exchange(t, "other client networks", dial(t, l, f.At(7206)), "hello")
		})
	})
}

// TestClientFirst answers the client before the server has been asked.
func TestClientFirst(t *testing.T) {
	l := New(t, Options{})
	p := l.StartProxy(clientSide + "[handshake]\norder = \"client-first\"\n")
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7000), echo)
		c := dial(t, l, f.At(7000))
		exchange(t, "a server that answers", c, strings.Repeat("hello", 100_000))
		_ = c.CloseWrite()
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the end: %d octets, %v", n, err)
		}
		l.Sub("silent", func(t *testing.T) {
			l.Server.CloseDoor(f, 7001, "DROP")
			c, err := l.Client.Dial(f.At(7001), 2*time.Second)
			if (err == nil) == Plain {
				t.Fatalf("connect to a silent server: %v; with a proxy it must succeed, without it must not", err)
			}
			if err == nil {
				if out := p.SS(); !strings.Contains(out, "SYN-SENT") || !strings.Contains(out, "ESTAB") {
					t.Errorf("tcpmitm ss does not show one leg established and the other not:\n%s", out)
				}
				_ = c.Close()
			}
		})
		l.Sub("refusing", func(t *testing.T) {
			c, err := l.Client.Dial(f.At(7002), dialWait)
			if Plain {
				wantError(t, "connect", err, 0, 0, syscall.ECONNREFUSED)
				return
			}
			if err == nil { // else the reset came before connect(2) was over
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(soon))
				_, err = c.Read(make([]byte, 1))
			}
			// Not ECONNREFUSED: the client had its answer.
			wantError(t, "a server that refuses afterwards", err, 0, 0, syscall.ECONNRESET)
		})
	})
}
