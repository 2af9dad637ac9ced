package lab

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// diagnosis is what `tcpmitm doctor --json` prints.
type diagnosis struct {
	Broken   int `json:"broken"`
	Findings []struct {
		Check  string `json:"check"`
		Level  string `json:"level"`
		Text   string `json:"text"`
		Remedy string `json:"remedy"`
		Fixed  bool   `json:"fixed"`
	} `json:"findings"`
}

// has tells whether a check has a finding of some level.
func (d *diagnosis) has(check, level string) bool {
	for _, f := range d.Findings {
		if f.Check == check && f.Level == level {
			return true
		}
	}
	return false
}

// mended tells whether --fix has done anything.
func (d *diagnosis) mended() bool {
	for _, f := range d.Findings {
		if f.Fixed {
			return true
		}
	}
	return false
}

// examine runs the doctor on the gateway and wants the exit code to agree with
// what it says.
func examine(t *testing.T, l *Lab, config string, args ...string) *diagnosis {
	t.Helper()
	out, err := l.Gateway.Try(Program, append([]string{"doctor", "--json", "--config", config}, args...)...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("tcpmitm doctor --json: %v\n%s", err, out)
	}
	if (err != nil) != (d.Broken > 0) {
		t.Errorf("exit: %v, with %d findings that are broken", err, d.Broken)
	}
	return &d
}

// TestDoctor breaks a gateway in one way after the other. The doctor must find
// each, and nothing once it is mended.
func TestDoctor(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding needs no doctor")
		return
	}
	l := New(t, Options{})
	g := l.Gateway
	config := l.ConfigFile("config.toml", clientSide, l.Path("control.sock"))
	table := "inet lab"
	nft := func(lines ...string) func(t *testing.T) {
		return func(*testing.T) {
			g.Run("nft", "add", "table", "inet", "lab")
			for _, line := range lines {
				g.Run("nft", line)
			}
		}
	}
	noNFT := func() { g.Run("nft", "delete", "table", "inet", "lab") }
	for _, c := range []struct {
		name, check, level string
		spoil              func(t *testing.T)
		mend               func()
	}{
		{"not-a-router", "forwarding", "broken", func(*testing.T) { g.Sysctl("net.ipv4.ip_forward", "0") }, func() { g.Sysctl("net.ipv4.ip_forward", "1") }},
		{"no-ipv6-router", "forwarding", "warning", func(*testing.T) { g.Sysctl("net.ipv6.conf.all.forwarding", "0") }, func() {
			g.Sysctl("net.ipv6.conf.all.forwarding", "1")
		}},
		{"device-taken", "devices", "broken", func(*testing.T) { g.Run("ip", "tuntap", "add", "mitm-s", "mode", "tun") }, func() { g.Run("ip", "link", "delete", "mitm-s") }},
		{"policy-drop", "other-chains", "broken", nft("add chain " + table + " f { type filter hook forward priority 5; policy drop; }"), noNFT},
		{"strict-source", "source-check", "broken", nft("add chain "+table+" p { type filter hook prerouting priority -5; }",
			"add rule "+table+" p meta nfproto ipv6 fib saddr . mark . iif oif missing drop"), noNFT},
		{"untracked", "other-chains", "broken", func(*testing.T) {
			g.Run("iptables", "-t", "mangle", "-A", "FORWARD", "-m", "conntrack", "!", "--ctstate", "NEW,ESTABLISHED,RELATED", "-j", "DROP")
		}, func() { g.Run("iptables", "-t", "mangle", "-F", "FORWARD") }},
		{"docker", "docker", "warning", func(*testing.T) {
			g.Run("iptables", "-t", "raw", "-A", "PREROUTING", "-d", "172.17.0.2", "!", "-i", "docker0", "-j", "DROP")
		}, func() { g.Run("iptables", "-t", "raw", "-F", "PREROUTING") }},
		{"tproxy", "early-demux", "warning", func(*testing.T) {
			g.Run("iptables", "-t", "mangle", "-A", "PREROUTING", "-p", "tcp", "-m", "socket", "--transparent", "-j", "MARK", "--set-mark", "1")
		}, func() { g.Run("iptables", "-t", "mangle", "-F", "PREROUTING") }},
		{"mark", "mark", "warning", func(*testing.T) { g.Run("iptables", "-t", "mangle", "-A", "FORWARD", "-j", "MARK", "--set-mark", "7") },
			func() { g.Run("iptables", "-t", "mangle", "-F", "FORWARD") }},
		{"no-gro", "receive-offload", "note", func(*testing.T) { g.Run("ethtool", "-K", "lan0", "gro", "off") }, func() { g.Run("ethtool", "-K", "lan0", "gro", "on") }},
		{"queue-in-a-rule", "queue-numbers", "broken", func(*testing.T) {
			g.Run("iptables", "-A", "FORWARD", "-p", "tcp", "-j", "NFQUEUE", "--queue-num", "29300")
		}, func() { g.Run("iptables", "-F", "FORWARD") }},
		{"leftover", "our-rules", "warning", func(*testing.T) { g.Run(Program, "firewall", "apply", "--force", "--config", config) },
			func() { g.Run(Program, "firewall", "remove") }},
	} {
		l.Sub(c.name, func(t *testing.T) {
			c.spoil(t)
			if d := examine(t, l, config); !d.has(c.check, c.level) {
				t.Errorf("the doctor finds nothing of %s that is %s: %+v", c.check, c.level, d)
			}
			c.mend()
			if d := examine(t, l, config); d.Broken > 0 || d.has(c.check, c.level) && c.name != "no-gro" {
				t.Errorf("mended, and the doctor still finds %+v", d)
			}
		})
	}
	l.Sub("queue-taken", func(t *testing.T) {
		takeQueue(t, l)
		if d := examine(t, l, config); !d.has("queue-numbers", "broken") {
			t.Errorf("the doctor does not see who has the queue: %+v", d)
		}
	})
}

// TestDoctorWhileRunning asks the doctor about a gateway at work, to which
// something happens.
func TestDoctorWhileRunning(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding needs no doctor")
		return
	}
	l := New(t, Options{})
	g := l.Gateway
	p := l.StartProxy(clientSide)
	before := g.Snapshot()
	if d := examine(t, l, p.Config); d.Broken > 0 || d.has("order", "warning") {
		t.Errorf("all is well, and the doctor finds %+v", d)
	}
	if diff := before.Diff(g.Snapshot()); diff != "" {
		t.Errorf("the doctor changed the gateway:\n%s", diff)
	}
	g.Sysctl("net.ipv4.conf.mitm-c.rp_filter", "1")
	if d := examine(t, l, p.Config); !d.has("source-check", "broken") {
		t.Errorf("the doctor overlooks a strict source check: %+v", d)
	}
	if d := examine(t, l, p.Config, "--fix"); d.Broken > 0 || !d.mended() {
		t.Errorf("--fix did not: %+v", d)
	}
	if got := strings.TrimSpace(g.Run("sysctl", "-n", "net.ipv4.conf.mitm-c.rp_filter")); got != "2" {
		t.Errorf("after --fix the source check is %s, want 2", got)
	}
	g.Run("iptables", "-I", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
	if d := examine(t, l, p.Config); !d.has("order", "warning") {
		t.Errorf("the doctor overlooks a rule before ours: %+v", d)
	}
	g.Run("iptables", "-F", "FORWARD")
	if d := examine(t, l, p.Config); !d.has("our-rules", "broken") {
		t.Errorf("the doctor overlooks that the firewall was set up anew: %+v", d)
	}
	p.Stop(syscall.SIGTERM)
}
