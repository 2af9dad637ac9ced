package lab

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const switchedRules = clientSide + `
[[rule]]
name    = "closed today"
match   = { ports = [7301] }
enabled = false
action  = "reset"

[[rule]]
name   = "slow"
match  = { ports = [7302] }
faults = [{ leg = "client", on = "data", do = "delay", by = "500ms" }]

[[rule]]
name   = "stuck"
match  = { ports = [7304] }
stream = [{ to = "client", do = "hold-until", by = "1h" }]
`

// slowness is what the rule "slow" adds. What two busy cores add is less.
const slowness = 500 * time.Millisecond

// TestRulesWhileRunning switches, changes and reloads rules as a user does,
// and wants new connections to meet them as they are and open ones to keep
// theirs unless --live is said.
func TestRulesWhileRunning(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy(switchedRules)
	for port := uint16(7301); port <= 7304; port++ {
		serve(t, l.Server, IPv4.At(port), echo)
	}
	l.Sub("enable", func(t *testing.T) {
		wantServed(t, l, "a rule that is off", 7301)
		wantRule(t, p, "rule \"closed today\" is enabled", "enable", "closed today")
		wantRefused(t, l, "a rule that was enabled", 7301)
		wantRule(t, p, "rule \"closed today\" is disabled", "disable", "closed today")
		wantServed(t, l, "a rule that was disabled again", 7301)
		wantRule(t, p, "closed today  reset   off    1        1", "list")
	})
	l.Sub("live", func(t *testing.T) {
		old := connect(t, l, 7302)
		old.wantTook(t, "as born", slowness)
		wantRule(t, p, "is disabled", "disable", "slow")
		old.wantTook(t, "disabled for new connections", slowness)
		connect(t, l, 7302).wantTook(t, "a new connection", 0)
		wantRule(t, p, "is disabled", "disable", "slow", "--live")
		old.wantTook(t, "disabled for open connections too", 0)
		wantRule(t, p, "is enabled", "enable", "slow")
		old.wantTook(t, "enabled for new connections", 0)
		connect(t, l, 7302).wantTook(t, "a new connection", slowness)
	})
	l.Sub("held", func(t *testing.T) {
		if Plain {
			return
		}
		c := connect(t, l, 7304)
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		back := make([]byte, 5)
		if n, _ := c.Read(back); n > 0 {
			t.Errorf("%q came through", back[:n])
		}
		wantRule(t, p, "is disabled", "disable", "stuck", "--live")
		_ = c.SetReadDeadline(time.Now().Add(soon))
		if _, err := io.ReadFull(c, back); err != nil || string(back) != "hello" {
			t.Errorf("after the rule was stopped: %q, %v", back, err)
		}
		c.wantTook(t, "later", 0)
	})
	l.Sub("set", func(t *testing.T) {
		old := connect(t, l, 7302)
		wantRule(t, p, "is changed", "set", "slow", "faults.1.by=1s")
		old.wantTook(t, "as born", slowness)
		connect(t, l, 7302).wantTook(t, "after the change", 2*slowness)
	})
	l.Sub("reload", func(t *testing.T) {
		old := connect(t, l, 7302)
		added := switchedRules + "[[rule]]\nname = \"new\"\nmatch = { ports = [7303] }\naction = \"reset\"\n"
		wantServed(t, l, "before the reload", 7303)
		rewrite(t, l, p, added)
		hangUp(t, p, "rules read again")
		wantRefused(t, l, "after the reload", 7303)
		old.wantTook(t, "as born", 2*slowness)
		connect(t, l, 7302).wantTook(t, "as in the file again", slowness)
		wantRule(t, p, "closed today  reset   off    1        1", "list") // the counters go on

		rewrite(t, l, p, added+"[[rule]]\nname = \"new\"\n")
		hangUp(t, p, "two rules are called")
		wantRefused(t, l, "after a file that was wrong", 7303)
		wantRule(t, p, "two rules are called", "reload")
		rewrite(t, l, p, strings.Replace(switchedRules, "[[rule]]", "[limits]\nhalf_open = 7\n[[rule]]", 1))
		wantRule(t, p, "warning: changed in the file, but only a restart brings it into force: limits.half_open", "reload")
		wantServed(t, l, "after the rule was taken out", 7303)
	})
}

// exchanger is a connection to an echo whose exchanges are timed.
type exchanger struct{ *net.TCPConn }

func connect(t *testing.T, l *Lab, port uint16) exchanger {
	return exchanger{dial(t, l, IPv4.At(port))}
}

// wantTook wants an exchange to take as long as a fault makes it.
func (e exchanger) wantTook(t *testing.T, why string, want time.Duration) {
	t.Helper()
	began := time.Now()
	exchange(t, why, e, "hello")
	if took := time.Since(began); !Plain && (took < want || took >= want+slowness) {
		t.Errorf("%s: an exchange took %v, want %v", why, took, want)
	}
}

func wantServed(t *testing.T, l *Lab, why string, port uint16) {
	t.Helper()
	c := dial(t, l, IPv4.At(port))
	exchange(t, why, c, "hello")
	_ = c.Close()
}

func wantRefused(t *testing.T, l *Lab, why string, port uint16) {
	t.Helper()
	if Plain {
		return
	}
	began := time.Now()
	c, err := l.Client.Dial(IPv4.At(port), dialWait)
	if err == nil {
		_ = c.Close()
	}
	wantError(t, why, err, time.Since(began), soon, syscall.ECONNREFUSED)
}

// wantRule runs `tcpmitm rule` and wants it to print a text.
func wantRule(t *testing.T, p *Proxy, says string, args ...string) {
	t.Helper()
	if Plain {
		return
	}
	out, _ := p.Command(append(append([]string{"rule"}, args...), "--socket", p.Socket)...)
	if !strings.Contains(out, says) {
		t.Errorf("tcpmitm rule %q prints %q, want %q", args, out, says)
	}
}

// rewrite puts another configuration in the place of the one that tcpmitm was
// started with.
func rewrite(t *testing.T, l *Lab, p *Proxy, config string) {
	t.Helper()
	if Plain {
		return
	}
	if err := os.Rename(l.ConfigFile("next.toml", config, p.Socket), p.Config); err != nil {
		t.Fatal(err)
	}
}

// hangUp sends SIGHUP and waits for what the log says then.
func hangUp(t *testing.T, p *Proxy, says string) {
	t.Helper()
	if Plain {
		return
	}
	before := strings.Count(p.Log(), says)
	if err := p.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer to SIGHUP", soon, func() (bool, string) {
		log := p.Log()
		return strings.Count(log, says) > before, log
	})
}
