package lab

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Snapshot is the part of a host's configuration that tcpmitm touches.
type Snapshot map[string]string

var (
	saveCounters = regexp.MustCompile(`\[\d+:\d+\]`)
	linkNumber   = regexp.MustCompile(`(?m)^\d+: `)
	emptyTable   = regexp.MustCompile(`\*[a-z]+\n(?::[A-Z]+ ACCEPT\s*\n)*COMMIT\n`)
	sysctlsKept  = []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
		"net/ipv4/conf/lan0/rp_filter", "net/ipv4/conf/wan0/rp_filter",
		"net/ipv4/conf/all/accept_local", "net/ipv4/conf/default/accept_local",
		"net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_tcp_be_liberal",
	}
)

// Snapshot records firewall, devices, routes, routing rules and sysctls.
func (n *Namespace) Snapshot() Snapshot {
	n.lab.t.Helper()
	s := Snapshot{
		"iptables-save":  normalSave(n.Run("iptables-save")),
		"ip6tables-save": normalSave(n.Run("ip6tables-save")),
		"ip link":        linkNumber.ReplaceAllString(n.Run("ip", "-o", "link"), ""),
		"ip addr":        linkNumber.ReplaceAllString(n.Run("ip", "-br", "addr"), ""),
		"ip route":       n.Run("ip", "route", "show", "table", "all"),
		"ip -6 route":    normalRoutes(n.Run("ip", "-6", "route", "show", "table", "all")),
		"ip rule":        n.Run("ip", "rule"),
		"ip -6 rule":     n.Run("ip", "-6", "rule"),
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

// normalRoutes takes out the multicast and cached entries that the kernel
// adds by itself when neighbours are first talked to.
func normalRoutes(routes string) string {
	var b strings.Builder
	for line := range strings.Lines(routes) {
		if !strings.Contains(line, "expires") && !strings.HasPrefix(line, "multicast") {
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
