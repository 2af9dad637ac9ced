package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// routerSuffix ends the name of a namespace that AddHost makes; Sweep knows it.
const routerSuffix = "r"

// AddHost adds a host to the lab, which forwards and has no links yet. A lab
// can have one: what is between its gateway and one of its peers.
func (l *Lab) AddHost() *Namespace {
	l.t.Helper()
	if len(l.more) > 0 {
		l.t.Fatal("the lab has its fourth host already")
	}
	making.RLock()
	defer making.RUnlock()
	n := l.addNamespace(l.Gateway.Name[:len(l.Gateway.Name)-1] + routerSuffix)
	l.more = append(l.more, n)
	n.noWaiting()
	n.forwards()
	n.batch("link set lo up")
	return n
}

// Join lays one more link between two hosts.
func (l *Lab) Join(a *Namespace, deviceA string, b *Namespace, deviceB string) {
	l.t.Helper()
	l.host("ip", "link", "add", deviceA, "netns", a.Name, "type", "veth", "peer", "name", deviceB, "netns", b.Name)
	a.batch("link set " + deviceA + " up")
	b.batch("link set " + deviceB + " up")
}

// noWaiting lets an IPv6 address be used at once; otherwise that takes a
// second or two.
func (n *Namespace) noWaiting() {
	n.lab.t.Helper()
	n.Sysctl("net.ipv6.conf.all.accept_dad", "0")
	n.Sysctl("net.ipv6.conf.default.accept_dad", "0")
}

// forwards makes the host a router.
func (n *Namespace) forwards() {
	n.lab.t.Helper()
	n.Sysctl("net.ipv4.ip_forward", "1")
	n.Sysctl("net.ipv6.conf.all.forwarding", "1")
}

// useLegacy makes iptables the legacy one for all that runs in the namespace,
// as update-alternatives does for a whole host.
func (n *Namespace) useLegacy() {
	n.lab.t.Helper()
	folder := n.lab.Path("legacy")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		n.lab.t.Fatal(err)
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(tool + "-legacy" + end)
			if err != nil {
				n.lab.t.Fatal(fmt.Errorf("a host with legacy iptables: %w", err))
			}
			if err := os.Symlink(program, filepath.Join(folder, tool+end)); err != nil {
				n.lab.t.Fatal(err)
			}
		}
	}
	n.path = folder
}
