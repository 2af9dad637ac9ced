package doctor

import (
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// trial has the rules put into a network namespace of their own, which is gone
// with the tool: nothing else finds so surely what a kernel or an iptables
// lacks.
func (x *exam) trial(r *report) {
	for i, tool := range []string{"iptables-restore", "ip6tables-restore"} {
		if x.need.Rules[i] == "" {
			continue
		}
		if i == 1 && x.setting("net/ipv6/conf/all/disable_ipv6") != "0" {
			continue
		}
		_, err := x.Run(x.need.Rules[i], "unshare", "--net", tool)
		switch {
		case errors.Is(err, exec.ErrNotFound):
			r.note("apt-get install util-linux", "there is no unshare: whether the kernel takes all rules has not been tried")
			return
		case err == nil:
			r.ok("the kernel takes all rules (%s, tried in a network namespace of its own)", tool)
		case strings.Contains(err.Error(), "unshare failed"):
			r.note("", "a network namespace cannot be made here, so whether the kernel takes all rules has not been tried: %v", err)
			return
		case strings.Contains(err.Error(), "failed to execute") || strings.Contains(err.Error(), "No such file"):
			// That it is missing has been said already.
		default:
			r.broken("modprobe -a nf_conntrack xt_CT xt_NFQUEUE xt_u32 xt_addrtype xt_multiport xt_comment xt_mark; with several queues and no xt_u32: queues = 1 in [intercept]",
				"%s cannot put in the rules, not even in an empty network namespace: %v", tool, err)
		}
	}
}

// offload is about packets that no rule sees because their connection has
// been handed to a fast path.
func (x *exam) offload(r *report) {
	for _, rule := range x.nft.all {
		if strings.Contains(rule, "flow add @") || strings.Contains(rule, "flow offload @") {
			r.broken("take that rule out (nft -a list ruleset shows its handle), or let it not match what is intercepted",
				"nftables hands connections to a flowtable, past all rules and so past tcpmitm: %s", rule)
		}
	}
	for _, t := range x.tables {
		for _, rule := range t.rules {
			if rule.target == "FLOWOFFLOAD" {
				r.broken("take that rule out; OpenWrt: switch off flow offloading", "iptables hands connections to a fast path, past all rules: %s", rule.line)
			}
		}
	}
	text, _ := x.read("proc/modules")
	for _, l := range lines(text) {
		if name, _, _ := strings.Cut(l, " "); fastPaths[name] != "" {
			r.warn("rmmod "+name+", or switch its acceleration off where the vendor's settings have it",
				"module %s is loaded: %s hands connections to a fast path of its own, past all rules and so past tcpmitm", name, fastPaths[name])
		}
	}
	if len(r.findings) == 0 {
		r.ok("no flow offload")
	}
}

// fastPaths are modules, mostly of routers' vendors, that forward established
// connections by themselves.
var fastPaths = map[string]string{
	"shortcut_fe": "Shortcut Forwarding Engine", "shortcut_fe_cm": "Shortcut Forwarding Engine", "fast_classifier": "Shortcut Forwarding Engine",
	"ecm": "Qualcomm's Enhanced Connection Manager", "qca_nss_ecm": "Qualcomm's Enhanced Connection Manager",
	"mtkhnat": "MediaTek's hardware NAT", "hw_nat": "MediaTek's hardware NAT", "ctf": "Broadcom's Cut-Through Forwarding",
}

func (x *exam) earlyDemux(r *report) {
	demux := x.setting("net/ipv4/tcp_early_demux") == "1" && x.setting("net/ipv4/ip_early_demux") != "0"
	other := ""
	for _, t := range x.tables {
		for _, rule := range t.rules {
			if rule.target == "TPROXY" || slices.Contains(rule.words, "socket") && rule.option("-m") != "" {
				other = rule.line
			}
		}
	}
	for _, rule := range x.nft.all {
		if strings.Contains(rule, "tproxy ") || strings.Contains(rule, "socket transparent") {
			other = rule
		}
	}
	switch {
	case other != "" && demux:
		r.warn("sysctl net.ipv4.tcp_early_demux=0",
			"another transparent proxy is here (%s), and tcp_early_demux is on: the kernel gives forwarded packets to that one's sockets in TIME-WAIT, and new connections stall", other)
	case other != "":
		r.note("", "another transparent proxy is here (%s); tcp_early_demux is off, as it should be then", other)
	default:
		r.ok("no other transparent proxy")
	}
}

// sourceCheckRules looks for source checks that are rules.
func (x *exam) sourceCheckRules(r *report) {
	dev := x.need.Devices[0]
	for _, c := range x.nft.chains {
		for _, rule := range c.rules {
			if c.hook == "prerouting" && exempts(rule, dev) {
				break
			}
			if strings.Contains(rule, "fib saddr") && strings.Contains(rule, "iif") && strings.Contains(rule, "missing") && strings.Contains(rule, "drop") {
				r.broken("firewalld: IPv6_rpfilter=no in /etc/firewalld/firewalld.conf and firewall-cmd --reload; otherwise: nft insert rule "+
					c.family+" "+c.table+" "+c.name+" iifname { "+quoted(x.need.Devices)+" } accept",
					"nftables drops packets whose source lives elsewhere, and so what tcpmitm sends to clients: %s", rule)
			}
		}
	}
	for _, t := range x.tables {
		x.sourceCheckTables(r, &t)
	}
}

// sourceCheckTables looks for them among the rules of one iptables.
func (x *exam) sourceCheckTables(r *report, t *ruleset) {
	type hook struct{ table, chain string }
	place := map[hook]int{} // of a rule in its chain, counted from 1
	spared := map[hook][2]bool{}
	for _, rule := range t.rules {
		h := hook{rule.table, rule.chain}
		place[h]++
		for i, dev := range x.need.Devices {
			if rule.option("-i") == dev && len(rule.words) == 6 && (rule.target == "ACCEPT" || rule.target == "RETURN") {
				s := spared[h]
				s[i] = true
				spared[h] = s
			}
		}
		if rule.option("-m") != "rpfilter" || !rule.drops() || slices.Contains(rule.words, "--loose") ||
			spared[h] == [2]bool{true, true} || x.acceptsFirst(rule.table) {
			continue
		}
		// Right before that rule: it must not come before ours.
		insert := strings.TrimSuffix(t.program, "-save") + " -t " + rule.table + " -I " + rule.chain + " " + strconv.Itoa(place[h]) + " -i "
		r.broken(insert+x.need.Devices[0]+" -j RETURN && "+insert+x.need.Devices[1]+" -j RETURN",
			"a rule drops packets whose source lives elsewhere, and so what tcpmitm sends: %s", rule.line)
	}
}

// acceptsFirst tells whether rules of ours, which come first, end the way of
// our packets through a table, so that what others have there does not matter.
func (x *exam) acceptsFirst(table string) bool {
	for _, dev := range x.need.Devices {
		found, in := false, ""
		for _, l := range lines(x.need.Rules[0] + x.need.Rules[1]) {
			if strings.HasPrefix(l, "*") {
				in = l[1:]
			}
			found = found || in == table && strings.HasPrefix(l, "-A "+x.need.Chains+"PRE -i "+dev+" ") && strings.HasSuffix(l, "-j ACCEPT")
		}
		if !found {
			return false
		}
	}
	return true
}

func quoted(devices [2]string) string { return `"` + devices[0] + `", "` + devices[1] + `"` }

// ourRules tells whether the rules are there exactly when somebody runs.
func (x *exam) ourRules(r *report) {
	for i, t := range x.tables {
		if t.err != nil {
			r.warn("run as root", "the rules in force cannot be read: %v", t.err)
			continue
		}
		ours := 0
		for _, rule := range t.rules {
			if strings.HasPrefix(rule.chain, x.need.Chains) {
				ours++
			}
		}
		wanted := x.jumps(i)
		for _, rule := range t.rules {
			delete(wanted, rule.table+" "+rule.chain+" "+rule.target)
		}
		switch {
		case ours > 0 && !x.running:
			l, what := Warning, "new connections pass by"
			if !x.need.Bypass {
				l, what = Broken, "new connections are held back"
			}
			r.add(l, "tcpmitm firewall remove, or start tcpmitm", "%s: rules of tcpmitm are there, and no tcpmitm runs: %s", t.program, what)
		case x.running && x.need.Rules[i] != "" && ours > 0 && len(wanted) > 0:
			r.broken("restart tcpmitm", "%s: a tcpmitm runs, but %d of the jumps to its rules are gone: somebody has set up the firewall anew", t.program, len(wanted))
		case x.running && x.need.Rules[i] != "" && ours == 0 && (i == 0 || x.setting("net/ipv6/conf/all/disable_ipv6") == "0"):
			r.broken("restart tcpmitm", "%s: a tcpmitm runs, but its rules are gone: somebody has set up the firewall anew", t.program)
		}
	}
	if len(r.findings) == 0 && x.running {
		r.ok("our rules are in force")
	} else if len(r.findings) == 0 {
		r.ok("no rules are left of an earlier run")
	}
}

// jumps are the jumps to our chains that a run installs, as "table hook chain".
func (x *exam) jumps(family int) map[string]bool {
	out := map[string]bool{}
	table := ""
	for _, l := range lines(x.need.Rules[family]) {
		if name, ok := strings.CutPrefix(l, "*"); ok {
			table = name
		}
		f := strings.Fields(l)
		if len(f) > 2 && f[0] == "-A" && !strings.HasPrefix(f[1], x.need.Chains) && strings.HasPrefix(f[len(f)-1], x.need.Chains) {
			out[table+" "+f[1]+" "+f[len(f)-1]] = true
		}
	}
	return out
}

// order is about rules that have come before ours since ours were put in.
// Without ours in force there is nothing to say: a start puts them first.
func (x *exam) order(r *report) {
	for _, t := range x.tables {
		type hook struct{ table, chain string }
		before := map[hook][]tableRule{}
		for _, rule := range t.rules {
			h := hook{rule.table, rule.chain}
			if strings.HasPrefix(rule.target, x.need.Chains) && !strings.HasPrefix(rule.chain, x.need.Chains) {
				if first := before[h]; len(first) > 0 {
					r.warn("restart tcpmitm, which puts its rules first again",
						"%s: %s come before ours in %s %s, %s", t.program, plural(len(first), "rule"), h.table, h.chain, worst(first))
				}
				delete(before, h)
				continue
			}
			before[h] = append(before[h], rule)
		}
	}
	if len(r.findings) == 0 {
		r.ok("nothing comes before our rules")
	}
}

// worst names the rule before ours that most likely harms.
func worst(rules []tableRule) string {
	for _, rule := range rules {
		if rule.drops() && strings.Contains(rule.line, "INVALID") {
			return "and one drops what conntrack calls INVALID: " + rule.line
		}
	}
	for _, rule := range rules {
		if rule.drops() {
			return "and one drops: " + rule.line
		}
	}
	return "the first is " + rules[0].line
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// otherChains is about chains that judge packets beside those of iptables, or
// before ours can let them through: in nftables, what one chain accepts
// another one may still drop.
func (x *exam) otherChains(r *report) {
	if x.nft.absent {
		r.note("apt-get install nftables", "there is no nft: whether nftables has rules of its own has not been looked at")
	} else if x.nft.err != nil {
		r.note("run as root", "the rules of nftables cannot be read: %v", x.nft.err)
	}
	for _, c := range x.nft.chains {
		if c.hook != "forward" && (c.hook != "input" || !x.need.Local) {
			continue
		}
		if rule := x.harms(c); rule != "" {
			where := c.family + " " + c.table + " " + c.name
			remedy := "nft insert rule " + where + " iifname { " + quoted(x.need.Devices) + " } accept, in the file that sets up the firewall, too"
			if c.table == "firewalld" {
				remedy = "firewall-cmd --permanent --zone=trusted --add-interface=" + x.need.Devices[0] + " --add-interface=" + x.need.Devices[1] + " && firewall-cmd --reload"
			}
			r.broken(remedy, "chain %s of nftables drops what tcpmitm sends to clients, which conntrack does not know (%s)", where, rule)
		}
	}
	for _, t := range x.tables {
		for _, rule := range t.rules {
			if dropsUntracked(&rule) {
				r.broken(strings.TrimSuffix(t.program, "-save")+" -t "+rule.table+" -I "+rule.chain+" -i "+x.need.Devices[0]+" -j RETURN",
					"a rule drops what conntrack does not know, and so what tcpmitm sends to clients: %s", rule.line)
			}
		}
	}
	if len(r.findings) == 0 {
		r.ok("no chain of others drops what tcpmitm sends")
	}
}

// harms returns why a chain of nftables drops what our devices bring in, ""
// if it does not. It does not follow jumps, but for firewalld's, which leads
// the devices of a zone to a chain of that zone.
func (x *exam) harms(c nftChain) string {
	if c.table == "firewalld" && x.trusted() {
		return ""
	}
	spared := [2]bool{}
	for _, rule := range c.rules {
		for i, dev := range x.need.Devices {
			spared[i] = spared[i] || exempts(rule, dev)
		}
		text := bareText(rule)
		untracked := strings.Contains(text, "ct state") && strings.Contains(text, "untracked")
		switch {
		case spared[0] && spared[1], text == "accept", untracked && strings.HasSuffix(text, "accept"):
			return ""
		case text == "drop", strings.HasPrefix(text, "reject"),
			untracked && (strings.HasSuffix(text, "drop") || strings.Contains(text, " reject")):
			return rule
		}
	}
	if c.policyDrop {
		return "policy drop"
	}
	return ""
}

// trusted tells whether firewalld has our devices in its zone that accepts.
func (x *exam) trusted() bool {
	for _, dev := range x.need.Devices {
		if !slices.ContainsFunc(x.nft.all, func(rule string) bool {
			return strings.Contains(rule, `"`+dev+`"`) && strings.Contains(rule, "_trusted")
		}) {
			return false
		}
	}
	return true
}

// dropsUntracked tells whether a rule of iptables drops packets that
// conntrack was told not to look at. The filter's FORWARD and INPUT are
// spared: there our own rule comes first.
func dropsUntracked(rule *tableRule) bool {
	if !rule.drops() || rule.table == "filter" {
		return false
	}
	states := rule.option("--ctstate")
	if states == "" {
		states = rule.option("--state")
	}
	if states == "" {
		return false
	}
	named := slices.Contains(strings.Split(states, ","), "UNTRACKED")
	return named != (rule.negated("--ctstate") || rule.negated("--state"))
}

// docker is about what Docker does to the addresses of containers.
func (x *exam) docker(r *report) {
	there := x.exists("sys/class/net/docker0")
	for _, t := range x.tables {
		spared := false
		for _, rule := range t.rules {
			there = there || strings.HasPrefix(rule.chain, "DOCKER")
			if rule.table != "raw" || rule.chain != "PREROUTING" {
				continue
			}
			if rule.option("-i") == x.need.Devices[1] && rule.target == "ACCEPT" && !rule.negated("-i") {
				spared = true
			}
			if rule.drops() && rule.negated("-i") && rule.option("-d") != "" && !spared {
				r.warn(strings.TrimSuffix(t.program, "-save")+" -t raw -I PREROUTING -i "+x.need.Devices[1]+" -j ACCEPT",
					"a rule, mostly Docker's, drops what comes to a container from any other device, and so what tcpmitm sends to it: %s", rule.line)
			}
		}
	}
	switch {
	case len(r.findings) > 0:
	case there:
		r.note("restart tcpmitm after Docker has been restarted",
			"Docker is here: when it starts it puts its chains before tcpmitm's")
	default:
		r.ok("no Docker")
	}
}

// mark is about others that use our bit of the packet mark, or our zone.
func (x *exam) mark(r *report) {
	for _, t := range x.tables {
		for _, rule := range t.rules {
			if strings.HasPrefix(rule.chain, x.need.Chains) {
				continue
			}
			// Ours is set in FORWARD (OUTPUT in local mode) and looked at in
			// POSTROUTING: what others do before that does not disturb.
			late := rule.chain == "FORWARD" || x.need.Local && rule.chain == "OUTPUT"
			if v := rule.option("--set-xmark"); v != "" && rule.target == "MARK" && late && x.covers(v) {
				r.warn("another mark in [intercept], or a mask without that bit in the rule",
					"a rule overwrites the bit of the packet mark by which tcpmitm takes packets: %s", rule.line)
			}
			if v := rule.option("--zone"); v == strconv.Itoa(x.need.Zone) && rule.target == "CT" {
				r.warn("another zone in [intercept]", "another rule uses connection tracking zone %s: %s", v, rule.line)
			}
		}
	}
	text, err := x.Run("", "ip", "rule")
	if err == nil {
		for _, l := range lines(text) {
			f := strings.Fields(l)
			if i := slices.Index(f, "fwmark"); i >= 0 && i+1 < len(f) && strings.Contains(f[i+1], "/") && x.covers(f[i+1]) {
				r.note("another mark in [intercept], if routes go astray", "a routing rule looks at the bit of the packet mark that tcpmitm sets: %s", l)
			}
		}
	}
	if len(r.findings) == 0 {
		r.ok("nobody else uses mark 0x%x or zone %d", x.need.Mark, x.need.Zone)
	}
}

// covers tells whether the mask of "value/mask" has our bit; no mask is all.
func (x *exam) covers(mark string) bool {
	_, mask, found := strings.Cut(mark, "/")
	if !found {
		return true
	}
	n, err := strconv.ParseUint(mask, 0, 32)
	return err == nil && uint32(n)&x.need.Mark != 0
}
