package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// The lab: one client, one server, and a gateway for each contender. The
// addresses that count are on loopback devices, so that the ends of the
// connections are the same whichever gateway the route leads through.
const (
	serverAddress  = "10.71.2.2"
	clientNetwork  = "10.71.1.0/24"
	clientAddress  = "10.71.1.%d" // the contender's number, from 1
	namePrefix     = "tmbench"
	commandLimit   = 20 * time.Second
	stopLimit      = 15 * time.Second // for a contender to end by itself
	readyLimit     = 20 * time.Second // for a contender to begin
	openFilesLimit = 400000
	logTail        = 4096 // octets of a log that an error shows
)

// idleSources are further client addresses, for more idle connections than
// one address has ports for.
var idleSources = []string{"10.71.1.200", "10.71.1.201", "10.71.1.202", "10.71.1.203"}

// namespace is one host of the lab.
type namespace struct {
	name   string
	handle netns.NsHandle
}

// lab is all hosts, and what runs on them.
type lab struct {
	client, server *namespace
	gateways       []*namespace
	folder         string // scratch
	processes      []*process
}

// newLab makes the hosts. What it made must be closed even after an error.
func newLab(gateways int) (*lab, error) {
	sweep()
	l := &lab{}
	var err error
	if l.folder, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", namePrefix, os.Getpid())); err != nil {
		return l, err
	}
	// Programs that give up root have to read their files there.
	if err := os.Chmod(l.folder, 0o755); err != nil {
		return l, err
	}
	if l.client, err = newNamespace("c"); err != nil {
		return l, err
	}
	if l.server, err = newNamespace("s"); err != nil {
		return l, err
	}
	for i := range gateways {
		g, err := newNamespace(fmt.Sprintf("g%d", i+1))
		if err != nil {
			return l, err
		}
		l.gateways = append(l.gateways, g)
	}
	return l, l.connect()
}

func newNamespace(role string) (*namespace, error) {
	n := &namespace{name: fmt.Sprintf("%s%d-%s", namePrefix, os.Getpid(), role)}
	if err := host("ip", "netns", "add", n.name); err != nil {
		return nil, err
	}
	h, err := netns.GetFromName(n.name)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", n.name, err)
	}
	n.handle = h
	return n, host("ip", "-n", n.name, "link", "set", "lo", "up")
}

func (l *lab) connect() error {
	do := func(n *namespace, lines ...string) error { return l.batch(n, lines) }
	var client []string
	for i := range l.gateways {
		client = append(client, fmt.Sprintf("addr add "+clientAddress+"/32 dev lo", i+1))
	}
	for _, a := range idleSources {
		client = append(client, "addr add "+a+"/32 dev lo")
	}
	if err := errors.Join(do(l.client, client...), do(l.server, "addr add "+serverAddress+"/32 dev lo")); err != nil {
		return err
	}
	for i, g := range l.gateways {
		near, far := fmt.Sprintf("10.72.%d.", i+1), fmt.Sprintf("10.73.%d.", i+1)
		link := fmt.Sprintf("eth%d", i+1)
		err := errors.Join(
			host("ip", "link", "add", link, "netns", l.client.name, "type", "veth", "peer", "name", "lan0", "netns", g.name),
			host("ip", "link", "add", link, "netns", l.server.name, "type", "veth", "peer", "name", "wan0", "netns", g.name),
			do(g, "addr add "+near+"1/24 dev lan0", "addr add "+far+"1/24 dev wan0", "link set lan0 up", "link set wan0 up"),
			do(l.client, "addr add "+near+"2/24 dev "+link, "link set "+link+" up"),
			do(l.server, "addr add "+far+"2/24 dev "+link, "link set "+link+" up"),
			do(g, "route add "+clientNetwork+" via "+near+"2", "route add "+serverAddress+" via "+far+"2"),
			g.sysctl("net/ipv4/ip_forward", "1"),
		)
		if err != nil {
			return err
		}
	}
	for i, n := range append([]*namespace{l.client, l.server}, l.gateways...) {
		// A proxy that speaks to the server in the client's name chooses ports
		// of its own. They must not be those of the client, or its sockets
		// catch what the client sends.
		ports := "1024 32767"
		if i > 1 {
			ports = "32768 65535"
		}
		err := errors.Join(
			n.sysctl("net/ipv4/conf/all/rp_filter", "0"),
			n.sysctl("net/ipv4/conf/default/rp_filter", "0"),
			n.sysctl("net/ipv4/ip_local_port_range", ports),
			n.sysctl("net/core/somaxconn", "65535"),
			n.sysctl("net/ipv4/tcp_max_syn_backlog", "65535"),
		)
		if err != nil {
			return err
		}
		// Those that the devices were born with count too.
		_ = n.run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done")
	}
	return nil
}

// lead sends the traffic of client and server through a gateway.
func (l *lab) lead(i int) error {
	source := fmt.Sprintf(clientAddress, i+1)
	return errors.Join(
		l.batch(l.client, []string{fmt.Sprintf("route replace %s via 10.72.%d.1 src %s", serverAddress, i+1, source)}),
		l.batch(l.server, []string{fmt.Sprintf("route replace %s via 10.73.%d.1 src %s", clientNetwork, i+1, serverAddress)}),
	)
}

func (l *lab) batch(n *namespace, lines []string) error {
	file := filepath.Join(l.folder, n.name+".batch")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return host("ip", "-n", n.name, "-batch", file)
}

// close ends what still runs and removes everything.
func (l *lab) close() {
	for _, p := range l.processes {
		p.kill()
	}
	for _, n := range append([]*namespace{l.client, l.server}, l.gateways...) {
		if n != nil {
			if n.handle > 0 {
				_ = n.handle.Close()
			}
			removeNamespace(n.name)
		}
	}
	if l.folder != "" {
		_ = os.RemoveAll(l.folder)
	}
}

// sweep removes what runs left behind that were killed.
func sweep() {
	for _, name := range leftBehind("/run/netns") {
		removeNamespace(name)
	}
	for _, name := range leftBehind(os.TempDir()) {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), name))
	}
}

// leftBehind lists what in a folder has the number of a process in its name
// that is no more.
func leftBehind(folder string) (names []string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), namePrefix)
		number, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(number)
		if ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			names = append(names, e.Name())
		}
	}
	return names
}

func removeNamespace(name string) {
	out, _ := exec.Command("ip", "netns", "pids", name).Output()
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = host("ip", "netns", "del", name)
}

// host runs a command outside of the namespaces.
func host(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// run runs a command in the namespace.
func (n *namespace) run(args ...string) error {
	return host("ip", append([]string{"netns", "exec", n.name}, args...)...)
}

func (n *namespace) sysctl(key, value string) error {
	err := n.in(func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0o644) })
	if err != nil {
		return fmt.Errorf("set %s=%s in %s: %w", key, value, n.name, err)
	}
	return nil
}

// in runs f on a thread that is inside the namespace: sockets that f opens
// belong to it for as long as they live.
func (n *namespace) in(f func() error) error {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the present network namespace: %w", err)
	}
	defer before.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", n.name, err)
	}
	result := f()
	if err := netns.Set(before); err != nil {
		// The thread stays locked and ends with the goroutine.
		return fmt.Errorf("leave network namespace %s: %w", n.name, err)
	}
	runtime.UnlockOSThread()
	return result
}

// process is a program that runs in a namespace.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // path of what it prints
	done chan struct{}
}

// start starts a program that may open many files.
func (l *lab) start(n *namespace, args ...string) (*process, error) {
	out, err := os.CreateTemp(l.folder, "log-")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: filepath.Base(args[0]), log: out.Name(), done: make(chan struct{})}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", n.name}, args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	l.processes = append(l.processes, p)
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) output() string {
	b, _ := os.ReadFile(p.log)
	if len(b) > logTail {
		b = b[len(b)-logTail:]
	}
	return string(b)
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// until waits for something to come true while the program runs.
func (p *process) until(what string, ok func() bool) error {
	for deadline := time.Now().Add(readyLimit); !ok(); time.Sleep(20 * time.Millisecond) {
		if !p.running() {
			return fmt.Errorf("%s ended before %s:\n%s", p.name, what, p.output())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not %s within %v:\n%s", p.name, what, readyLimit, p.output())
		}
	}
	return nil
}

// stop asks the program to end, and then makes it.
func (p *process) stop() {
	if p == nil {
		return
	}
	if p.running() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.kill()
	}
}

func (p *process) kill() {
	if p.running() {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	select {
	case <-p.done:
	case <-time.After(commandLimit):
	}
}
