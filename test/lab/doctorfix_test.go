package lab

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// settings are all that the network of a host can be set up with, a line each:
// the kernel's settings, both firewalls, devices, offloads, routes and rules.
func (n *Namespace) settings() (lines []string) {
	n.lab.t.Helper()
	for _, command := range []string{
		"sysctl -a -r ^net[.] 2>/dev/null | grep -v nf_conntrack_count", "iptables-save | sed 's/\\[[0-9:]*\\]//' | grep -v ^#",
		"ip6tables-save | sed 's/\\[[0-9:]*\\]//' | grep -v ^#", "ip -o link", "ethtool -k lan0", "ethtool -k wan0",
		"ip -4 route show table all", "ip rule", "ip -6 rule", "cat /proc/modules | cut -d' ' -f1",
	} {
		for l := range strings.Lines(n.print("sh", "-c", command)) {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines
}

// TestDoctorFixes breaks what --fix mends and what it must leave alone, all at
// once: it does the one, says so, and changes nothing else on the host.
func TestDoctorFixes(t *testing.T) {
	if Plain {
		t.Log("plain forwarding needs no doctor")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	g := l.Gateway
	p := l.StartProxy(clientSide)
	healthy := g.settings()
	mended := []string{"net.ipv4.conf.mitm-c.rp_filter", "net.ipv4.conf.mitm-s.accept_local"}
	g.Sysctl(mended[0], "1")
	g.Sysctl(mended[1], "0")
	// What belongs to others.
	g.Sysctl("net.ipv4.conf.all.rp_filter", "1")
	g.Sysctl("net.ipv6.conf.all.forwarding", "0")
	g.Run("iptables", "-I", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
	g.Run("iptables", "-t", "raw", "-A", "PREROUTING", "-d", "172.17.0.2", "!", "-i", "docker0", "-j", "DROP")
	g.Run("ethtool", "-K", "lan0", "gro", "off")
	sick := g.settings()
	fix := func() string {
		out, err := g.Try(Program, "doctor", "--fix", "--config", p.Config)
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return out
	}
	said := fix()
	for i, value := range []string{"2", "1"} {
		if want := "fixed: sysctl " + mended[i] + "=" + value; !strings.Contains(said, want) {
			t.Errorf("--fix does not say %q:\n%s", want, said)
		}
	}
	if n := strings.Count(said, "fixed:"); n != len(mended) {
		t.Errorf("--fix says that it has mended %d things, want %d:\n%s", n, len(mended), said)
	}
	after := g.settings()
	for _, line := range after {
		ours := slices.ContainsFunc(mended, func(m string) bool { return strings.HasPrefix(line, m+" ") })
		if !slices.Contains(sick, line) && !ours {
			t.Errorf("--fix has made it: %s", line)
		}
		if ours && !slices.Contains(healthy, line) {
			t.Errorf("not mended: %s", line)
		}
	}
	if len(after) != len(sick) {
		t.Errorf("there were %d settings, and there are %d", len(sick), len(after))
	}
	if again := fix(); strings.Contains(again, "fixed:") {
		t.Errorf("there was nothing more to mend:\n%s", again)
	}
	p.Kill() // or it would have to leave the host as it found it, without all that
}
