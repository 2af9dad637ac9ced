package labnet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

const (
	hostsFile   = "/etc/hosts"
	switchFile  = "/etc/nsswitch.conf"
	etcFolder   = "etc"        // in a lab's folder: files to be seen in place of those in /etc
	netnsFolder = "/etc/netns" // where ip-netns(8) looks for such files
)

// writeNames writes the files by which the hosts' names resolve inside.
func (n *Net) writeNames() error {
	etc := filepath.Join(n.Folder, etcFolder)
	if err := os.Mkdir(etc, 0o755); err != nil {
		return err
	}
	files := map[string]string{filepath.Base(hostsFile): hostsText(n.IPv6)}
	// Where the machine's own order of looking names up asks somebody else
	// first, that would not know the lab's.
	if own, err := os.ReadFile(switchFile); err == nil {
		files[filepath.Base(switchFile)] = filesFirst(string(own))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the lab's names: %w", err)
		}
	}
	all, err := lockAll()
	if err != nil {
		return err
	}
	defer all.Close()
	for _, h := range n.hosts() {
		linkNames(h.Name, etc)
	}
	return nil
}

// hostsText is hosts(5).
func hostsText(six bool) string {
	var b strings.Builder
	add := func(a netip.Addr, names string) { fmt.Fprintf(&b, "%v\t%s\n", a, names) }
	add(netip.MustParseAddr("127.0.0.1"), "localhost")
	if six {
		add(netip.IPv6Loopback(), "localhost ip6-localhost ip6-loopback")
	}
	for _, h := range []struct {
		four, six netip.Prefix
		name      string
	}{{Client4, Client6, roleClient}, {LAN4, LAN6, roleGateway}, {Server4, Server6, roleServer}} {
		add(h.four.Addr(), h.name)
		if six {
			add(h.six.Addr(), h.name)
		}
	}
	// Programs look up their own machine's name, and wait if nobody knows it.
	if own, err := os.Hostname(); err == nil && own != "" && !strings.ContainsAny(own, " \t\n#") {
		add(netip.MustParseAddr("127.0.1.1"), own)
	}
	return b.String()
}

// filesFirst lets names of hosts be looked up in files only: from inside a lab
// nobody else can be asked.
func filesFirst(conf string) string {
	var b strings.Builder
	for line := range strings.Lines(conf) {
		if strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			continue
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	return b.String() + "hosts: files\n"
}

// linkNames lets `ip netns exec` see the files too. Where /etc cannot be
// written names do not resolve there; inside Enter they do.
func linkNames(host, etc string) {
	if os.MkdirAll(netnsFolder, 0o755) == nil {
		_ = os.Symlink(etc, filepath.Join(netnsFolder, host))
	}
}

func unlinkNames(host string) {
	path := filepath.Join(netnsFolder, host)
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		_ = os.Remove(path)
	}
	// Empty it says nothing; that others' are in it is no error.
	_ = os.Remove(netnsFolder)
}
