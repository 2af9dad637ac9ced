package nfq

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

// A lab is three network namespaces: a client and a server, with a gateway
// between them that routes.
//
//	client 10.91.1.2, fd91:1::2 -- lan gateway wan -- server 10.91.2.2, fd91:2::2
type lab struct {
	t                       testing.TB
	client, gateway, server netns.NsHandle
}

// inNamespace runs f on a thread of its own in a namespace.
func inNamespace(t testing.TB, ns netns.NsHandle, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		// The thread is never unlocked: it ends with the goroutine, and its
		// namespace goes with it.
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("entering a network namespace (tests need root): %w", err)
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	made := make(chan netns.NsHandle, 1)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			failed <- err
			return
		}
		made <- ns
	}()
	select {
	case ns := <-made:
		t.Cleanup(func() { ns.Close() })
		return ns
	case err := <-failed:
		t.Fatalf("making a network namespace (tests need root): %v", err)
	}
	return 0
}

// run runs a command in a namespace and returns what it printed.
func run(t testing.TB, ns netns.NsHandle, command string) string {
	t.Helper()
	var out bytes.Buffer
	var err error
	inNamespace(t, ns, func() {
		c := exec.Command("sh", "-ec", command)
		c.Stdout, c.Stderr = &out, &out
		err = c.Run()
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out.String())
	}
	return out.String()
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, client: newNamespace(t), gateway: newNamespace(t), server: newNamespace(t)}
	for _, ns := range []netns.NsHandle{l.client, l.gateway, l.server} {
		// Nobody else is on these links, and a link-local address that is
		// being checked for duplicates cannot look for neighbours yet.
		run(t, ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0")
	}
	inNamespace(t, l.gateway, func() {
		for _, c := range []struct {
			name string
			peer netns.NsHandle
		}{{"lan", l.client}, {"wan", l.server}} {
			cmd := fmt.Sprintf("ip link add %s type veth peer name eth0 netns /proc/self/fd/3", c.name)
			if err := runWithFile(cmd, c.peer); err != nil {
				t.Error(err)
			}
		}
	})
	run(t, l.gateway, `
		ip link set lo up; ip link set lan up; ip link set wan up
		sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip addr add 10.91.1.1/24 dev lan; ip -6 addr add fd91:1::1/64 dev lan nodad
		ip addr add 10.91.2.1/24 dev wan; ip -6 addr add fd91:2::1/64 dev wan nodad`)
	for ns, n := range map[netns.NsHandle]string{l.client: "1", l.server: "2"} {
		run(t, ns, strings.ReplaceAll(`
			ip link set lo up; ip link set eth0 up
			ip addr add 10.91.N.2/24 dev eth0; ip -6 addr add fd91:N::2/64 dev eth0 nodad
			ip route add default via 10.91.N.1; ip -6 route add default via fd91:N::1`, "N", n))
	}
	return l
}

// runWithFile runs a command that finds a namespace as its descriptor 3.
func runWithFile(command string, ns netns.NsHandle) error {
	c := exec.Command("sh", "-ec", strings.ReplaceAll(command, "/proc/self/fd/3", fmt.Sprintf("/proc/%d/fd/%d", selfPID, int(ns))))
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return nil
}

// savedRules is what iptables-save says of a namespace, without what never
// is the same twice: counters and times. Tables without rules do not count,
// for iptables makes them when it looks.
func savedRules(t testing.TB, ns netns.NsHandle) string {
	t.Helper()
	var lines []string
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		table := ""
		for _, line := range strings.Split(run(t, ns, program), "\n") {
			switch {
			case strings.HasPrefix(line, "*"):
				table = line
			case strings.HasPrefix(line, "-A"), strings.HasPrefix(line, ":") && strings.Contains(line, " - "):
				lines = append(lines, program+" "+table+" "+line)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

var selfPID = os.Getpid()

// wantCounter checks how many packets a rule with a comment has met, in each
// family.
func wantCounter(t *testing.T, l *lab, comment string, want int) {
	t.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, line := range strings.Split(run(t, l.gateway, program+" -vnxL FORWARD"), "\n") {
			if strings.Contains(line, "/* "+comment+" */") && strings.Fields(line)[0] != fmt.Sprint(want) {
				t.Errorf("%s: want %d packets at rule %q, have: %s", program, want, comment, line)
			}
		}
	}
}
