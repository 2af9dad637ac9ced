package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a systemd that runs on the gateway, as the first process of a
// machine of its own (testdata/boot-systemd.sh).
type machine struct {
	lab  *Lab
	boot *Process
	pid  string // of systemd, as the host sees it
}

// bootLimit is what the boot of systemd may take, and a start by it, on a slow
// machine.
const bootLimit = time.Minute

// bootSystemd boots a machine in which tcpmitm is installed with its unit, and
// what a drop-in adds to that.
func bootSystemd(t *testing.T, l *Lab, dropIn, config string) *machine {
	t.Helper()
	unit, err := filepath.Abs("../../packaging/tcpmitm.service")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/boot-systemd.sh")
	if err != nil {
		t.Fatal(err)
	}
	folder := l.Path("machine")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{lab: l}
	m.boot = l.Gateway.Start("unshare", "--mount", script, folder, Program, unit, l.File("drop-in.conf", dropIn), l.File("machine.toml", config))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := m.run("journalctl", "--no-pager", "-n", "60")
			t.Logf("the boot said:\n%s\nthe journal says:\n%s", m.boot.Output(), log)
		}
		_ = m.boot.Signal(syscall.SIGTERM)
		if _, err := m.boot.Wait(stopLimit); err != nil {
			t.Errorf("the machine does not end: %v", err)
		}
	})
	said := regexp.MustCompile(`machine (\d+)\n`)
	eventually(t, "systemd is up", bootLimit, func() (bool, string) {
		if found := said.FindStringSubmatch(m.boot.Output()); found != nil && m.pid == "" {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]s/task/%[1]s/children", found[1]))
			m.pid = strings.TrimSpace(string(children))
		}
		if m.pid == "" {
			return false, m.boot.Output()
		}
		out, _ := m.run("systemctl", "is-system-running")
		up := strings.TrimSpace(out)
		return up == "running" || up == "degraded", out // some unit of the host's may not like it here
	})
	return m
}

// run runs a program on the machine.
func (m *machine) run(args ...string) (string, error) {
	inside := []string{"--preserve-credentials", "-t", m.pid, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "timeout", "60"}
	out, err := exec.Command("nsenter", append(inside, args...)...).CombinedOutput()
	return string(out), err
}

// must is run that has to go well.
func (m *machine) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.run(args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// write replaces a file on the machine.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile("/proc/"+m.pid+"/root"+path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// show is what systemd says of the service.
func (m *machine) show(t *testing.T, property string) string {
	t.Helper()
	return strings.TrimSpace(m.must(t, "systemctl", "show", "--value", "-p", property, "tcpmitm"))
}

// wantRunning waits until the service runs and has been restarted so often.
func (m *machine) wantRunning(t *testing.T, restarts string) {
	t.Helper()
	eventually(t, restarts+" restarts, and it runs", bootLimit, func() (bool, string) {
		state, n := m.show(t, "ActiveState"), m.show(t, "NRestarts")
		return state == "active" && n == restarts, state + ", restarts: " + n
	})
}

// wantSplicedByService connects a namespace to an echo and wants the service to
// know the connection.
func (m *machine) wantSplicedByService(t *testing.T, why string, n *Namespace, to netip.AddrPort) {
	t.Helper()
	c, err := n.Dial(to, dialWait)
	if err != nil {
		t.Errorf("%s: %v", why, err)
		return
	}
	defer c.Close()
	exchange(t, why, c, strings.Repeat("hello", 10_000))
	if out := m.must(t, "tcpmitm", "ss"); !strings.Contains(out, c.LocalAddr().String()) {
		t.Errorf("%s: the connection from %v is not tcpmitm's:\n%s", why, c.LocalAddr(), out)
	}
}

// TestUnderSystemd runs the unit as it is installed under a systemd: its start
// is over when connections are taken, it has the powers that it needs behind
// all of its hardening and no others, a reload that fails changes nothing, what
// dies or hangs is started again, and nothing is left after a stop.
func TestUnderSystemd(t *testing.T) {
	if Plain {
		t.Log("plain forwarding is no service")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	for _, f := range []Family{IPv4, IPv6} {
		serve(t, l.Server, f.At(7000), echo)
		serve(t, l.Server, f.At(7001), echo)
	}
	serve(t, l.Gateway, netip.AddrPortFrom(IPv4.loopback(), 7000), echo)
	before := l.Gateway.Snapshot()
	// What differs from the unit as it is shipped: it does not wait so long for
	// a sign of life.
	m := bootSystemd(t, l, "[Service]\nWatchdogSec=3\n", clientSide)
	m.must(t, "systemctl", "enable", "--now", "tcpmitm")
	for _, f := range []Family{IPv4, IPv6} {
		m.wantSplicedByService(t, "at once after the start", l.Client, f.At(7000))
	}
	status := m.must(t, "cat", "/proc/"+m.show(t, "MainPID")+"/status")
	for _, want := range []string{
		fmt.Sprintf("CapEff:\t%016x\n", serviceCaps), fmt.Sprintf("CapBnd:\t%016x\n", serviceCaps), "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("the service lacks %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0") {
		t.Errorf("the service is root's:\n%s", status)
	}

	// A reload that fails says so and changes nothing; one that does not acts.
	m.write(t, "/etc/tcpmitm/config.toml", clientSide+"[[rule]]\nname = \"x\"\nmatch = { ports = [7001] }\naction = \"rest\"\n")
	if out, err := m.run("systemctl", "reload", "tcpmitm"); err == nil {
		t.Errorf("a wrong file was reloaded:\n%s", out)
	}
	m.wantSplicedByService(t, "after a reload that failed", l.Client, IPv4.At(7001))
	m.write(t, "/etc/tcpmitm/config.toml", clientSide+"[[rule]]\nname = \"x\"\nmatch = { ports = [7001] }\naction = \"reset\"\n")
	m.must(t, "systemctl", "reload", "tcpmitm")
	eventually(t, "the new rule acts", soon, func() (bool, string) {
		began := time.Now()
		c, err := l.Client.Dial(IPv4.At(7001), dialWait)
		if err == nil {
			_ = c.Close()
		}
		return err != nil && time.Since(began) < dialWait, fmt.Sprint(err)
	})
	m.wantRunning(t, "0")

	// It dies: the guard, which systemd leaves alive, resets both peers.
	ended := drainAll(crashLoad(t, l, 3, 1))
	killed := time.Now()
	m.must(t, "systemctl", "kill", "--kill-who=main", "-s", "KILL", "tcpmitm")
	ended(t, killed, orphanLimit)
	m.wantRunning(t, "1")
	m.wantSplicedByService(t, "after the crash", l.Client, IPv4.At(7000))

	// It hangs: nobody is told that its shards answer.
	m.must(t, "kill", "-STOP", m.show(t, "MainPID"))
	m.wantRunning(t, "2")
	m.wantSplicedByService(t, "after the hang", l.Client, IPv6.At(7000))
	if log := m.must(t, "journalctl", "-u", "tcpmitm", "--no-pager"); !strings.Contains(log, "Watchdog timeout") {
		t.Errorf("the journal tells of no watchdog:\n%s", log)
	}

	// Connections of the host with itself need more of the kernel.
	m.write(t, "/etc/tcpmitm/config.toml", "[intercept]\nmode = \"local\"\nports = [7000]\n")
	m.must(t, "systemctl", "restart", "tcpmitm")
	m.wantSplicedByService(t, "in local mode", l.Gateway, netip.AddrPortFrom(IPv4.loopback(), 7000))

	m.must(t, "systemctl", "stop", "tcpmitm")
	if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
		t.Errorf("after a stop there is left:\n%s", diff)
	}
	if result := m.show(t, "Result"); result != "success" {
		t.Errorf("it ended with %q", result)
	}
}
