package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Plain makes StartProxy a no-op: the gateway forwards and nothing else.
var Plain bool

// Addresses of the hosts, by family.
var (
	ClientIP4    = netip.MustParseAddr("10.1.0.2")
	GatewayLAN4  = netip.MustParseAddr("10.1.0.1")
	GatewayWAN4  = netip.MustParseAddr("10.2.0.1")
	ServerIP4    = netip.MustParseAddr("10.2.0.2")
	ClientIP6    = netip.MustParseAddr("fd01::2")
	GatewayLAN6  = netip.MustParseAddr("fd01::1")
	GatewayWAN6  = netip.MustParseAddr("fd02::1")
	ServerIP6    = netip.MustParseAddr("fd02::2")
	NobodyThere4 = netip.MustParseAddr("10.2.0.77") // on the server's link, but no host has it
	NobodyThere6 = netip.MustParseAddr("fd02::77")
)

const (
	prefix       = "tm"             // of the names of our namespaces
	netnsFolder  = "/var/run/netns" // where ip-netns keeps its names
	scratchName  = "tcpmitm-lab-"   // of the folder of one lab
	clientDevice = "eth0"           // in the client's namespace
	lanDevice    = "lan0"           // in the gateway's, towards the client
	wanDevice    = "wan0"           // in the gateway's, towards the server
	serverDevice = "eth0"           // in the server's namespace
	clientMAC    = "02:00:00:00:01:02"
	lanMAC       = "02:00:00:00:01:01"
	wanMAC       = "02:00:00:00:02:01"
	serverMAC    = "02:00:00:00:02:02"
	leastMTU6    = 1280     // a link of less has no IPv6
	outputLimit  = 64 << 10 // octets of output shown when something fails
)

// Options say how a lab differs from three hosts with default settings.
type Options struct {
	MTU        int     // of all links; 0 leaves 1500
	NoOffload  bool    // segmentation and checksums in software: captures show what a real wire would
	Masquerade bool    // the gateway hides the client behind its own address
	Strict     bool    // the gateway drops by default and judges by connection state
	Loss       float64 // share of TCP packets lost on each leg, each way
	Legacy     bool    // the gateway's iptables, tcpmitm's too, is the legacy one
	// Sysctls are written in the client's and the server's namespace,
	// for example net.ipv4.tcp_timestamps.
	Sysctls map[string]string
}

// Lab is three hosts in a row.
type Lab struct {
	Client, Gateway, Server *Namespace

	t       testing.TB
	options Options
	scratch string
	more    []*Namespace // hosts that AddHost has added
	closing sync.Once

	mu        sync.Mutex
	processes []*Process // started and not known to have ended
}

var (
	labsMade atomic.Int64
	liveMu   sync.Mutex
	live     = map[*Lab]bool{}
	// making is held by who makes a lab, and taken for good when the process
	// is told to end, so that no lab is made which nobody would remove.
	making sync.RWMutex
)

// New makes a lab that is removed when the test ends.
func New(t testing.TB, o Options) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the lab makes network namespaces: run as root (sudo make test)")
	}
	making.RLock()
	defer making.RUnlock()
	stem := fmt.Sprintf("%s%d-%d-", prefix, os.Getpid(), labsMade.Add(1))
	scratch, err := os.MkdirTemp("", scratchName+stem)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(scratch, 0o755); err != nil { // users other than root look into it, too
		t.Fatal(err)
	}
	l := &Lab{t: t, options: o, scratch: scratch}
	liveMu.Lock()
	live[l] = true
	liveMu.Unlock()
	t.Cleanup(l.Close)
	l.Client = l.addNamespace(stem + "c")
	l.Gateway = l.addNamespace(stem + "g")
	l.Server = l.addNamespace(stem + "s")
	if o.Legacy {
		l.Gateway.useLegacy()
	}
	l.setSysctls()
	l.join()
	l.applyFirewall()
	return l
}

func (l *Lab) addNamespace(name string) *Namespace {
	l.t.Helper()
	n := &Namespace{Name: name, lab: l}
	if out, err := runHost("ip", "netns", "add", name); err != nil {
		l.t.Fatalf("make network namespace %s: %v\n%s", name, err, out)
	}
	if err := n.open(); err != nil {
		l.t.Fatal(err)
	}
	return n
}

// join lays the links and gives addresses and routes.
func (l *Lab) join() {
	l.t.Helper()
	c, g, s := l.Client.Name, l.Gateway.Name, l.Server.Name
	mtu, six := "", true
	if l.options.MTU != 0 {
		mtu = " mtu " + strconv.Itoa(l.options.MTU)
		six = l.options.MTU >= leastMTU6
	}
	l.host("ip", "link", "add", clientDevice, "netns", c, "address", clientMAC,
		"type", "veth", "peer", "name", lanDevice, "netns", g, "address", lanMAC)
	l.host("ip", "link", "add", serverDevice, "netns", s, "address", serverMAC,
		"type", "veth", "peer", "name", wanDevice, "netns", g, "address", wanMAC)
	l.Client.batch("addr add 10.1.0.2/24 dev eth0", "link set lo up", "link set eth0 up"+mtu)
	l.Server.batch("addr add 10.2.0.2/24 dev eth0", "link set lo up", "link set eth0 up"+mtu)
	l.Gateway.batch("addr add 10.1.0.1/24 dev lan0", "addr add 10.2.0.1/24 dev wan0",
		"link set lo up", "link set lan0 up"+mtu, "link set wan0 up"+mtu)
	l.Client.batch("route add default via 10.1.0.1")
	l.Server.batch("route add default via 10.2.0.1")
	if six {
		l.joinIPv6()
	}
	if l.options.NoOffload {
		l.Client.noOffload(clientDevice)
		l.Server.noOffload(serverDevice)
		l.Gateway.noOffload(lanDevice)
		l.Gateway.noOffload(wanDevice)
	}
}

// joinIPv6 gives the hosts their IPv6 addresses.
func (l *Lab) joinIPv6() {
	l.t.Helper()
	// An IPv6 host answers its neighbours' questions only about a second
	// after its address came, so the neighbours are told beforehand.
	l.Client.batch("addr add fd01::2/64 dev eth0 nodad", "route add ::/0 via fd01::1",
		"neigh replace fd01::1 dev eth0 lladdr "+lanMAC)
	l.Server.batch("addr add fd02::2/64 dev eth0 nodad", "route add ::/0 via fd02::1",
		"neigh replace fd02::1 dev eth0 lladdr "+wanMAC)
	l.Gateway.batch("addr add fd01::1/64 dev lan0 nodad", "addr add fd02::1/64 dev wan0 nodad",
		"neigh replace fd01::2 dev lan0 lladdr "+clientMAC, "neigh replace fd02::2 dev wan0 lladdr "+serverMAC)
}

func (l *Lab) setSysctls() {
	l.t.Helper()
	for _, n := range []*Namespace{l.Client, l.Gateway, l.Server} {
		n.noWaiting()
	}
	l.Gateway.forwards()
	for key, value := range l.options.Sysctls {
		l.Client.Sysctl(key, value)
		l.Server.Sysctl(key, value)
	}
}

// host runs a command outside of the namespaces.
func (l *Lab) host(name string, args ...string) {
	l.t.Helper()
	if out, err := runHost(name, args...); err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Sub runs a part of the test, to which failures in the lab count meanwhile.
// Parts of one lab run one after the other.
func (l *Lab) Sub(name string, test func(t *testing.T)) {
	l.t.Helper()
	whole, ok := l.t.(*testing.T)
	if !ok {
		l.t.Fatalf("only a test has parts, not a %T", l.t)
	}
	whole.Run(name, func(t *testing.T) {
		l.t = t
		defer func() { l.t = whole }()
		test(t)
	})
}

// EachFamily runs a test for IPv4 and for IPv6.
func (l *Lab) EachFamily(test func(t *testing.T, f Family)) {
	l.t.Helper()
	for _, f := range []Family{IPv4, IPv6} {
		l.Sub(f.String(), func(t *testing.T) { test(t, f) })
	}
}

// Path names a file in the lab's own folder, which goes with the lab.
func (l *Lab) Path(name string) string { return filepath.Join(l.scratch, name) }

// File writes a file into the lab's own folder and returns its path.
func (l *Lab) File(name, content string) string {
	l.t.Helper()
	path := l.Path(name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// Close kills what runs in the lab and removes it. New arranges that it is
// called when the test ends.
func (l *Lab) Close() {
	l.closing.Do(func() {
		l.mu.Lock()
		processes := l.processes
		l.mu.Unlock()
		for _, p := range processes {
			p.Kill()
		}
		for _, n := range append([]*Namespace{l.Client, l.Gateway, l.Server}, l.more...) {
			if n != nil {
				n.remove()
			}
		}
		_ = os.RemoveAll(l.scratch)
		liveMu.Lock()
		delete(live, l)
		liveMu.Unlock()
	})
}

// CloseOnSignal removes all labs when the process is told to end. A test's
// main function calls it once.
func CloseOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		making.Lock()
		liveMu.Lock()
		var all []*Lab
		for l := range live {
			all = append(all, l)
		}
		liveMu.Unlock()
		for _, l := range all {
			l.Close()
		}
		Unbuild()
		os.Exit(130)
	}()
}

// Sweep removes labs whose process is gone: a run that was killed, or that
// ran into go test's own time limit, cannot clean up behind itself.
func Sweep() {
	for _, path := range match(filepath.Join(netnsFolder, prefix+"[0-9]*-*-*")) {
		if name := filepath.Base(path); orphaned(strings.TrimPrefix(name, prefix)) {
			removeNamespace(name)
		}
	}
	stem := filepath.Join(os.TempDir(), scratchName+prefix)
	for _, path := range match(stem + "[0-9]*-*") {
		if orphaned(strings.TrimPrefix(path, stem)) {
			_ = os.RemoveAll(path)
		}
	}
}

// match is filepath.Glob for patterns that are known to be well-formed.
func match(pattern string) []string {
	names, err := filepath.Glob(pattern)
	if err != nil {
		panic(err)
	}
	return names
}

// orphaned tells whether the process with whose id a name begins is gone.
func orphaned(name string) bool {
	pid, _, _ := strings.Cut(name, "-")
	if _, err := strconv.Atoi(pid); err != nil {
		return false
	}
	_, err := os.Stat("/proc/" + pid)
	return os.IsNotExist(err)
}
