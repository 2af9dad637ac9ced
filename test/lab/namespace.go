package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// How long a command may take before it is killed.
const (
	commandLimit = 60 * time.Second
	hostLimit    = 20 * time.Second
)

// Namespace is one host of a lab.
type Namespace struct {
	Name string

	lab    *Lab
	path   string // searched for programs before PATH
	handle netns.NsHandle
	once   sync.Once
}

func (n *Namespace) open() error {
	h, err := netns.GetFromName(n.Name)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", n.Name, err)
	}
	n.handle = h
	return nil
}

// In runs f on a thread that is inside the namespace: sockets that f opens
// belong to it for as long as they live.
func (n *Namespace) In(f func() error) error {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the present network namespace: %w", err)
	}
	defer before.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", n.Name, err)
	}
	result := f()
	if err := netns.Set(before); err != nil {
		// The thread stays locked and ends with the goroutine, so that
		// nobody else runs in the wrong namespace.
		return fmt.Errorf("leave network namespace %s: %w", n.Name, err)
	}
	runtime.UnlockOSThread()
	return result
}

// Dial opens a TCP connection from the namespace to a numeric address.
func (n *Namespace) Dial(to netip.AddrPort, limit time.Duration) (*net.TCPConn, error) {
	return n.DialFrom(netip.AddrPort{}, to, limit)
}

// DialFrom is Dial with a source address and port of the caller's choice.
func (n *Namespace) DialFrom(from, to netip.AddrPort, limit time.Duration) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: limit, KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
		d.Control = reuseAddress
	}
	var conn net.Conn
	err := n.In(func() (err error) {
		conn, err = d.Dial("tcp", to.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// DialContext has the form that net/http wants.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.In(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func reuseAddress(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	})
	if err != nil {
		return err
	}
	return set
}

// Listen listens in the namespace until the test ends.
func (n *Namespace) Listen(at netip.AddrPort) *net.TCPListener {
	n.lab.t.Helper()
	var ln net.Listener
	err := n.In(func() (err error) {
		ln, err = net.Listen("tcp", at.String())
		return err
	})
	if err != nil {
		n.lab.t.Fatalf("listen in %s: %v", n.Name, err)
	}
	n.lab.t.Cleanup(func() { _ = ln.Close() })
	return ln.(*net.TCPListener)
}

// Try runs a command in the namespace and returns what it printed, both
// streams together.
func (n *Namespace) Try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := n.command(ctx, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("killed after %v: %w", commandLimit, err)
	}
	return string(out), err
}

// Run is Try that fails the test unless the command succeeds.
func (n *Namespace) Run(name string, args ...string) string {
	n.lab.t.Helper()
	out, err := n.Try(name, args...)
	if err != nil {
		n.lab.t.Fatalf("in %s: %s %s: %v\n%s", n.Name, name, strings.Join(args, " "), err, tail(out))
	}
	return out
}

func (n *Namespace) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
	if n.path != "" {
		cmd.Env = append(os.Environ(), "PATH="+n.path+":"+os.Getenv("PATH"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// batch gives ip(8) several commands at once.
func (n *Namespace) batch(lines ...string) {
	n.lab.t.Helper()
	file := n.lab.File(n.Name+".batch", strings.Join(lines, "\n")+"\n")
	n.lab.host("ip", "-n", n.Name, "-batch", file)
}

// Sysctl sets one kernel parameter of the namespace.
func (n *Namespace) Sysctl(key, value string) {
	n.lab.t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	err := n.In(func() error { return os.WriteFile(path, []byte(value), 0o644) })
	if err != nil {
		n.lab.t.Fatalf("set %s=%s in %s: %v", key, value, n.Name, err)
	}
}

// noOffload makes a device send what a wire would carry: segments no longer
// than the MTU, with their checksums in place.
func (n *Namespace) noOffload(device string) {
	n.lab.t.Helper()
	n.Run("ethtool", "-K", device, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")
}

// remove kills what runs in the namespace and deletes it.
func (n *Namespace) remove() {
	n.once.Do(func() {
		_ = n.handle.Close()
		removeNamespace(n.Name)
	})
}

func removeNamespace(name string) {
	if out, err := runHost("ip", "netns", "pids", name); err == nil {
		for _, field := range strings.Fields(out) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	if _, err := runHost("ip", "netns", "del", name); err != nil {
		_ = os.Remove(filepath.Join(netnsFolder, name))
	}
}

// runHost runs a command outside of the namespaces.
func runHost(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hostLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// tail cuts long output, of which the end says most.
func tail(s string) string {
	if len(s) > outputLimit {
		return "[...]" + s[len(s)-outputLimit:]
	}
	return s
}
