package lab

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Comments by which counters of the gateway's own firewall are found.
const (
	countNew     = "lab-new"
	countInvalid = "lab-invalid"
	countDenied  = "lab-denied"
)

// applyFirewall gives gateway, client and server the packet filters that the
// options ask for. Loss happens at the hosts, where no rule of tcpmitm is.
func (l *Lab) applyFirewall() {
	l.t.Helper()
	if l.options.Strict {
		for _, tool := range []string{"iptables", "ip6tables"} {
			l.strictFirewall(tool)
		}
	}
	if l.options.Masquerade {
		l.Gateway.Run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", wanDevice, "-j", "MASQUERADE")
		l.Gateway.Run("ip6tables", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", wanDevice, "-j", "MASQUERADE")
	}
	if l.options.Loss > 0 {
		l.Client.Lose(l.options.Loss)
		l.Server.Lose(l.options.Loss)
	}
}

// strictFirewall is what a careful administrator has: nothing is forwarded
// but what the inside began, and what conntrack cannot place is dropped.
func (l *Lab) strictFirewall(tool string) {
	l.t.Helper()
	rule := func(args ...string) {
		l.t.Helper()
		l.Gateway.Run(tool, append([]string{"-w", "-A", "FORWARD"}, args...)...)
	}
	state := func(s string) []string { return []string{"-m", "conntrack", "--ctstate", s} }
	comment := func(c string) []string { return []string{"-m", "comment", "--comment", c} }
	l.Gateway.Run(tool, "-w", "-P", "FORWARD", "DROP")
	rule(append(append(state("INVALID"), comment(countInvalid)...), "-j", "DROP")...)
	rule(append(state("ESTABLISHED,RELATED"), "-j", "ACCEPT")...)
	rule(append([]string{"-p", "tcp", "--dport", "9", "-j", "DROP"}, comment(countDenied)...)...)
	rule(append(append([]string{"-i", lanDevice}, state("NEW")...), append(comment(countNew), "-j", "ACCEPT")...)...)
}

// Lose drops a share of the TCP packets that reach or leave the host.
func (n *Namespace) Lose(share float64) {
	n.lab.t.Helper()
	p := strconv.FormatFloat(share, 'f', -1, 64)
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, chain := range []string{"PREROUTING", "OUTPUT"} {
			n.Run(tool, "-w", "-t", "raw", "-A", chain, "-p", "tcp", "-m", "statistic",
				"--mode", "random", "--probability", p, "-m", "comment", "--comment", "lab-loss", "-j", "DROP")
		}
	}
}

// LoseNothing ends what Lose began.
func (n *Namespace) LoseNothing() {
	n.lab.t.Helper()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for line := range strings.Lines(n.Run(tool, "-w", "-t", "raw", "-S")) {
			if rule, found := strings.CutPrefix(strings.TrimSpace(line), "-A "); found && strings.Contains(line, "--comment lab-loss") {
				n.Run(tool, append([]string{"-w", "-t", "raw", "-D"}, strings.Fields(rule)...)...)
			}
		}
	}
}

// CloseDoor makes the host treat TCP to a port as the target says: DROP for
// silence, or REJECT with a kind of ICMP message.
func (n *Namespace) CloseDoor(f Family, port uint16, target ...string) {
	n.lab.t.Helper()
	args := []string{"-w", "-I", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(int(port)), "-j"}
	n.Run(f.Tool(), append(args, target...)...)
}

var ruleCounter = regexp.MustCompile(`^\[(\d+):\d+\]`)

// Counted returns how many packets met the rules that carry a comment.
func (n *Namespace) Counted(f Family, comment string) int {
	n.lab.t.Helper()
	return n.countedBy(f.Tool(), comment)
}

// countedBy is Counted for the rules that one kind of iptables shows.
func (n *Namespace) countedBy(tool, comment string) int {
	n.lab.t.Helper()
	total := 0
	for line := range strings.Lines(n.Run(tool+"-save", "-c")) {
		m := ruleCounter.FindStringSubmatch(line)
		if m == nil || !strings.Contains(line, "--comment "+comment) {
			continue
		}
		packets, err := strconv.Atoi(m[1])
		if err != nil {
			n.lab.t.Fatal(fmt.Errorf("counter in %q: %w", line, err))
		}
		total += packets
	}
	return total
}
