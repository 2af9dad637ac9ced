package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What the unit gives the service: no root, and two capabilities.
const (
	serviceUser = 64999
	serviceCaps = uint64(1<<12 | 1<<13) // CAP_NET_ADMIN, CAP_NET_RAW
)

// notifications is a service manager's socket, and what was said on it.
type notifications struct {
	path string
	mu   sync.Mutex
	said []string // the lines of each message
}

// listenNotify makes a socket that the service's user may write to.
func listenNotify(t *testing.T, l *Lab) *notifications {
	t.Helper()
	n := &notifications{path: l.Path("notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := os.Chmod(n.path, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			k, err := conn.Read(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.said = append(n.said, strings.Split(string(b[:k]), "\n")...)
			n.mu.Unlock()
		}
	}()
	return n
}

// count is how often something was said.
func (n *notifications) count(what string) (times int) {
	for _, s := range n.all() {
		if s == what {
			times++
		}
	}
	return times
}

func (n *notifications) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.said)
}

// unitValue is what the unit says of a key.
func unitValue(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile("../../packaging/tcpmitm.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("the unit has no %s", key)
	}
	return m[1]
}

// startService runs tcpmitm as the unit does: as a user of its own, with two
// capabilities and no way to more, and with somebody to be told.
func startService(t *testing.T, l *Lab, config string, watchdog time.Duration) (*Proxy, *notifications) {
	t.Helper()
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		if got := unitValue(t, key); got != "CAP_NET_ADMIN CAP_NET_RAW" {
			t.Errorf("%s=%s in the unit: not what is tested here", key, got)
		}
	}
	if got := unitValue(t, "Type"); got != "notify" {
		t.Errorf("Type=%s in the unit: not what is tested here", got)
	}
	n := listenNotify(t, l)
	run := l.Path("run")
	if err := errors.Join(os.Mkdir(run, 0o755), os.Chown(run, serviceUser, serviceUser)); err != nil {
		t.Fatal(err)
	}
	p := &Proxy{lab: l, Socket: filepath.Join(run, "control.sock")}
	p.Config = l.ConfigFile("config.toml", config, p.Socket)
	p.before = l.Gateway.Snapshot()
	id := strconv.Itoa(serviceUser)
	p.prefix = []string{"sh", "-c", `mount --bind "$0" /dev/net/tun && exec "$@"`, openTUN(t, l), "setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--no-new-privs",
		"--inh-caps", "-all,+net_admin,+net_raw", "--ambient-caps", "-all,+net_admin,+net_raw", "--bounding-set", "-all,+net_admin,+net_raw",
		"env", "NOTIFY_SOCKET=" + n.path, fmt.Sprint("WATCHDOG_USEC=", watchdog.Microseconds())}
	p.launch()
	if err := p.waitReady(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("tcpmitm said:\n%s", tail(p.Log()))
		}
		if !p.stopped {
			p.Stop(syscall.SIGTERM)
		}
	})
	return p, n
}

// openTUN makes a device file as udev does, that every user may open. Not every
// machine on which tests run has udev; whoever enters a lab's namespace has
// mounts of their own.
func openTUN(t *testing.T, l *Lab) string {
	t.Helper()
	path := l.Path("tun")
	if err := errors.Join(syscall.Mknod(path, syscall.S_IFCHR|0o666, 10<<8|200), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantPowers wants the process, and everything that it has started, to be the
// service's user with its two capabilities and no others.
func wantPowers(t *testing.T, l *Lab) {
	t.Helper()
	found := 0
	for _, pid := range strings.Fields(l.Gateway.Run("sh", "-c", "ip netns pids "+l.Gateway.Name)) {
		if exe, err := os.Readlink("/proc/" + pid + "/exe"); err != nil || exe != Program {
			continue
		}
		found++
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", serviceUser), fmt.Sprintf("CapEff:\t%016x\n", serviceCaps),
			fmt.Sprintf("CapBnd:\t%016x\n", serviceCaps), "NoNewPrivs:\t1\n",
		} {
			if !strings.Contains(string(status), want) {
				t.Errorf("process %s lacks %q:\n%s", pid, want, status)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d processes of tcpmitm, want 2: it and its guard", found)
	}
}

// TestService runs tcpmitm without root: it intercepts, also behind a strict
// firewall and NAT, tells the service manager of all that it does in the right
// order, and leaves nothing when it stops.
func TestService(t *testing.T) {
	if Plain {
		t.Log("plain forwarding is no service")
		return
	}
	t.Parallel()
	l := New(t, Options{Strict: true, Masquerade: true})
	serve(t, l.Server, IPv4.At(7000), echo)
	serve(t, l.Server, IPv6.At(7000), echo)
	const watchdog = time.Second
	p, n := startService(t, l, clientSide, watchdog)
	wantPowers(t, l)
	l.EachFamily(func(t *testing.T, f Family) {
		exchange(t, "intercepted", dial(t, l, f.At(7000)), strings.Repeat("hello", 10_000))
	})
	if c := p.Counters(); c.Opened != 2 {
		t.Errorf("%d connections were intercepted, want 2", c.Opened)
	}
	eventually(t, "the watchdog is told, again and again", soon, func() (bool, string) {
		return n.count("WATCHDOG=1") >= 4, fmt.Sprint(n.all())
	})
	signalProxy(t, p, syscall.SIGHUP)
	eventually(t, "ready again after the reload", soon, func() (bool, string) {
		return n.count("RELOADING=1") == 1 && n.count("READY=1") == 2, fmt.Sprint(n.all())
	})
	p.Stop(syscall.SIGTERM) // wants nothing to be left
	said := n.all()
	order := []string{}
	for _, s := range said {
		if slices.Contains([]string{"READY=1", "RELOADING=1", "STOPPING=1"}, s) {
			order = append(order, s)
		}
	}
	if want := []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1"}; !slices.Equal(order, want) {
		t.Errorf("told the service manager %v, want %v", order, want)
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{"MONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC=", "STATUS=intercepting, "} {
		if !strings.Contains(all, want) {
			t.Errorf("the service manager was not told %s:\n%s", want, all)
		}
	}
	if first := slices.Index(said, "WATCHDOG=1"); first < 0 || first > slices.Index(said, "STOPPING=1") {
		t.Errorf("WATCHDOG=1 does not come before STOPPING=1:\n%s", all)
	}
}

// TestServiceCrash kills a service without root: its guard, without root, too,
// resets the orphans and removes the rules.
func TestServiceCrash(t *testing.T) {
	if Plain {
		t.Log("plain forwarding is no service")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	p, _ := startService(t, l, clientSide+"guard = \"1s\"\n", 0)
	ended := drainAll(crashLoad(t, l, 3, 1))
	killed := time.Now()
	p.Kill()
	ended(t, killed, orphanLimit)
	eventually(t, "the guard has removed everything", cleanLimit, func() (bool, string) {
		diff := p.before.Diff(l.Gateway.Snapshot())
		return diff == "", diff
	})
}
