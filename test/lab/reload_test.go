package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReloadUnderLoad reloads the rules again and again under load, some times
// from a file that is wrong: no connection is lost, neither an open nor a new
// one, and each new one meets the rules of the last good file.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	const rule = "\n[[rule]]\nname = \"round %d\"\nmatch = { ports = [7000] }\n"
	config := func(round int) string { return clientSide + fmt.Sprintf(rule, round) }
	p := l.StartProxy(config(0))
	refused := 0
	ended, reset := underLoad(t, l, 2, 32<<20, func() {
		if Plain {
			return
		}
		for round := 1; round <= 20; round++ {
			text := config(round)
			want := fmt.Sprintf("round %d", round)
			if round%4 == 0 { // wrong in two ways
				text = clientSide + "\n[[rule]]\nname = \"broken\"\nmatch = { ports = [70000] }\n"
				if round%8 == 0 {
					text = "[[rule\n"
				}
				want = fmt.Sprintf("round %d", round-1)
				refused++
			}
			l.ConfigFile("config.toml", text, p.Socket)
			signalProxy(t, p, syscall.SIGHUP)
			if round%4 == 0 {
				eventually(t, "the log tells of the wrong file", soon, func() (bool, string) {
					return strings.Count(p.Log(), "level=ERROR") >= refused, p.Log()
				})
			}
			wantOnlyRule(t, p, want)
		}
	})
	if reset != 0 {
		t.Errorf("%d transfers were reset, %d ended well", reset, ended)
	}
	if !Plain && refused != 5 {
		t.Errorf("%d reloads were refused, want 5", refused)
	}
}

// wantOnlyRule wants one rule of a name to be in force.
func wantOnlyRule(t *testing.T, p *Proxy, name string) {
	t.Helper()
	eventually(t, "the rule is in force: "+name, soon, func() (bool, string) {
		var c struct {
			Rules []struct {
				Name string `json:"name"`
			} `json:"rules"`
		}
		if err := p.Ask("/v1/counters", &c); err != nil {
			return false, err.Error()
		}
		return len(c.Rules) == 1 && c.Rules[0].Name == name, fmt.Sprint(c.Rules)
	})
}

// TestDrainUnderLoad stops tcpmitm under load with a drain: transfers that end
// within it end well, what is left then gets a RST on both sides, and new
// connections pass all the while.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	const drain = 4 * time.Second
	p := l.StartProxy(clientSide + fmt.Sprintf("drain = %q\n", drain))
	if Plain {
		underLoad(t, l, 2, 1<<20, func() {})
		return
	}
	ends := crashLoad(t, l, 5, 0)
	ended := drainAll(ends)
	const resets = "tcp[tcpflags] & tcp-rst != 0 or ip6[53] & 4 != 0"
	toClient, toServer := l.Client.Capture(clientDevice, resets), l.Server.Capture(serverDevice, resets)
	stopped := make(chan time.Time, 1)
	began := time.Now()
	well, reset := underLoad(t, l, 2, 8<<20, func() {
		began = time.Now()
		signalProxy(t, p, syscall.SIGTERM)
		go func() {
			if _, err := p.process.Wait(drain + stopLimit); err != nil {
				t.Error(err)
			}
			stopped <- time.Now()
		}()
	})
	if well != 4 || reset != 0 {
		t.Errorf("%d of 4 short transfers ended well within the drain, %d were reset", well, reset)
	}
	ended(t, began, drain+orphanLimit)
	if took := (<-stopped).Sub(began); took < drain {
		t.Errorf("the stop took %v, though connections were open for all of the drain of %v", took, drain)
	}
	p.stopped = true
	p.WantNothingLeft()
	early := Select(toClient.Frames(), func(f *Frame) bool { return f.RST && f.At.Before(began.Add(drain-100*time.Millisecond)) })
	if len(early) > 0 {
		t.Errorf("RSTs before the drain was over:\n%s", Dump(early))
	}
	wantResetsSeen(t, "client", toClient, ends, func(f *Frame) bool { return f.Src.Port() == 7100 })
	wantResetsSeen(t, "server", toServer, ends, func(f *Frame) bool { return f.Dst.Port() == 7100 })
}

// TestStopTwice has a second signal end the drain.
func TestStopTwice(t *testing.T) {
	if Plain {
		t.Log("plain forwarding drains nothing")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	serve(t, l.Server, IPv4.At(7000), echo)
	p := l.StartProxy(clientSide + "drain = \"1h\"\n")
	open := dial(t, l, IPv4.At(7000))
	exchange(t, "while it runs", open, "hello")
	signalProxy(t, p, syscall.SIGTERM)
	eventually(t, "it drains", soon, func() (bool, string) {
		return strings.Contains(p.Log(), "waiting for connections to end"), p.Log()
	})
	exchange(t, "during the drain", open, "still here")
	p.Stop(syscall.SIGTERM)
	_ = open.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadAll(open); !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the second signal the connection ended with %v, want a reset", err)
	}
}
