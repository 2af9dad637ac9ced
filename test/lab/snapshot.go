package lab

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Snapshot is the part of a host's configuration that tcpmitm touches.
type Snapshot map[string]string

var (
	saveCounters = regexp.MustCompile(`\[\d+:\d+\]`)
	// A new device needs about a second until the kernel has noticed that it
	// is up and has given it an address of its own for the link.
	settling    = regexp.MustCompile(`(?m)^\d+: |<[A-Z_,-]+>|state [A-Z]+ |link-netns.*| (UP|DOWN|UNKNOWN) +`)
	linkLocal   = regexp.MustCompile(`fe80::[0-9a-f:]+/64 ?`)
	emptyTable  = regexp.MustCompile(`\*[a-z]+\n(?::[A-Z]+ ACCEPT\s*\n)*COMMIT\n`)
	sysctlsKept = []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
		"net/ipv4/conf/lan0/rp_filter", "net/ipv4/conf/wan0/rp_filter",
		"net/ipv4/conf/all/accept_local", "net/ipv4/conf/default/accept_local",
		"net/ipv4/conf/lo/accept_local", "net/ipv4/conf/lo/route_localnet",
		"net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_tcp_be_liberal",
	}
)

// Snapshot records firewall, devices, routes, routing rules and sysctls.
func (n *Namespace) Snapshot() Snapshot {
	n.lab.t.Helper()
	s := Snapshot{
		"iptables-save":  normalSave(n.Run("iptables-save")),
		"ip6tables-save": normalSave(n.Run("ip6tables-save")),
		// What is asked about does not come into being by that.
		"iptables-legacy-save":  normalSave(n.Run("iptables-legacy-save")),
		"ip6tables-legacy-save": normalSave(n.Run("ip6tables-legacy-save")),
		"ip link":               settling.ReplaceAllString(n.print("ip", "-o", "link"), ""),
		"ip addr":               linkLocal.ReplaceAllString(settling.ReplaceAllString(n.print("ip", "-br", "addr"), ""), ""),
		"ip route":              n.Run("ip", "-4", "route", "show", "table", "all"),
		"ip -6 route":           normalRoutes(n.Run("ip", "-6", "route", "show", "table", "all")),
		"ip rule":               n.Run("ip", "rule"),
		"ip -6 rule":            n.Run("ip", "-6", "rule"),
	}
	err := n.In(func() error {
		for _, key := range sysctlsKept {
			value, err := os.ReadFile("/proc/sys/" + key)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			s[key] = string(value)
		}
		return nil
	})
	if err != nil {
		n.lab.t.Fatal(err)
	}
	return s
}

// print is Run for the standard output alone: while another lab goes, ip(8)
// complains about namespaces that it cannot name.
func (n *Namespace) print(name string, args ...string) string {
	n.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := n.command(ctx, name, args...).Output()
	if err != nil {
		n.lab.t.Fatalf("in %s: %s %s: %v", n.Name, name, strings.Join(args, " "), err)
	}
	return string(out)
}

// normalSave takes out what changes without anybody changing a rule: time
// stamps, counters, and tables that were looked at and hold nothing.
func normalSave(save string) string {
	var b strings.Builder
	for line := range strings.Lines(save) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(saveCounters.ReplaceAllString(line, ""))
		}
	}
	return emptyTable.ReplaceAllString(b.String(), "")
}

// normalRoutes takes out what the kernel adds by itself to a device that comes
// up, and to a neighbour that is talked to. Other devices have no such excuse.
func normalRoutes(routes string) string {
	var b strings.Builder
	for line := range strings.Lines(routes) {
		ours := strings.Contains(line, "dev "+lanDevice) || strings.Contains(line, "dev "+wanDevice)
		own := strings.Contains(line, "fe80:") || strings.Contains(line, "ff00::") || strings.Contains(line, "expires")
		if !ours || !own {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Diff says what is different in after; empty means nothing.
func (before Snapshot) Diff(after Snapshot) string {
	var b strings.Builder
	for what, was := range before {
		is := after[what]
		if was == is {
			continue
		}
		fmt.Fprintf(&b, "%s changed\n", what)
		for _, line := range missing(was, is) {
			fmt.Fprintf(&b, "  gone:  %s\n", line)
		}
		for _, line := range missing(is, was) {
			fmt.Fprintf(&b, "  added: %s\n", line)
		}
	}
	return b.String()
}

// missing returns the lines of a that b does not have.
func missing(a, b string) []string {
	has := map[string]bool{}
	for line := range strings.Lines(b) {
		has[strings.TrimSpace(line)] = true
	}
	var out []string
	for line := range strings.Lines(a) {
		if line = strings.TrimSpace(line); !has[line] {
			out = append(out, line)
		}
	}
	return out
}
