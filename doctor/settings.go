package doctor

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// crowded is the share of a table, in percent, from which on it counts as
// nearly full.
const crowded = 80

func (x *exam) writable(r *report) {
	mounts, _ := x.read("proc/self/mounts")
	best, options := "", ""
	for _, l := range lines(mounts) {
		f := strings.Fields(l)
		if len(f) < 4 {
			continue
		}
		at := f[1]
		if (at == "/proc/sys/net" || strings.HasPrefix("/proc/sys/net", strings.TrimSuffix(at, "/")+"/")) && len(at) >= len(best) {
			best, options = at, f[3]
		}
	}
	if slices.Contains(strings.Split(options, ","), "ro") {
		r.broken("in a container: --privileged, or mount /proc/sys writable; with systemd: ReadWritePaths=/proc/sys/net",
			"%s is mounted read-only: tcpmitm cannot set up its devices", best)
		return
	}
	r.ok("the kernel's settings can be written")
}

func (x *exam) forwarding(r *report) {
	v4, v6 := x.setting("net/ipv4/ip_forward"), x.setting("net/ipv6/conf/all/forwarding")
	if x.need.Local {
		if x.need.IPv6 && v6 == "0" && !x.exists("proc/sys/net/ipv6/conf/default/force_forwarding") {
			r.warn("sysctl net.ipv6.conf.all.forwarding=1", "this kernel forwards IPv6 for all devices or for none: IPv6 connections cannot be intercepted")
		} else {
			r.ok("local mode needs no forwarding")
		}
		return
	}
	if x.need.IPv4 && v4 != "1" {
		r.broken("sysctl net.ipv4.ip_forward=1 (this makes the host a router), or mode = \"local\" for the host's own connections",
			"this host does not forward IPv4: in gateway mode there is nothing to intercept")
	} else if x.need.IPv4 {
		r.ok("IPv4 is forwarded")
	}
	switch {
	case !x.need.IPv6:
	case v6 == "" || x.setting("net/ipv6/conf/all/disable_ipv6") == "1":
		r.note("", "IPv6 is switched off: only IPv4 connections are intercepted")
	case v6 != "1":
		r.warn("sysctl net.ipv6.conf.all.forwarding=1, if IPv6 is routed here", "this host does not forward IPv6: of that there is nothing to intercept")
	default:
		r.ok("IPv6 is forwarded")
	}
}

// sourceCheck is about the reverse path filter, as a setting and as a rule.
func (x *exam) sourceCheck(r *report) {
	before := len(r.findings)
	for _, dev := range x.need.Devices {
		key := "net/ipv4/conf/" + dev + "/"
		if v := x.setting(key + "rp_filter"); v != "" && v != "2" {
			r.add(Broken, "sysctl net.ipv4.conf."+dev+".rp_filter=2",
				"the source check of %s is %s instead of loose (2): the kernel drops what tcpmitm sends", dev, v).fixedBy(setter(key+"rp_filter", "2"))
		}
		for _, s := range []string{"accept_local", "forwarding"} {
			if v := x.setting(key + s); v == "0" {
				r.add(Broken, "sysctl net.ipv4.conf."+dev+"."+s+"=1",
					"%s of %s has been switched off by somebody: the kernel drops what tcpmitm sends", s, dev).fixedBy(setter(key+s, "1"))
			}
		}
	}
	x.sourceCheckFiles(r)
	x.sourceCheckRules(r)
	if len(r.findings) == before {
		r.ok("nothing checks the sources of what tcpmitm sends")
	}
}

func setter(key, value string) func(*Host) error {
	return func(h *Host) error { return h.Write("proc/sys/"+key, value) }
}

// sourceCheckFiles looks for settings that are given to every device as it
// appears: udev has systemd-sysctl do so.
func (x *exam) sourceCheckFiles(r *report) {
	seen := map[string]bool{} // by name: the first folder's file counts
	type place struct{ file, value string }
	found := map[string]place{}
	apply := func(file string) {
		text, _ := x.read(file)
		for _, l := range lines(text) {
			key, value, ok := strings.Cut(strings.TrimPrefix(l, "-"), "=")
			if !ok || l[0] == '#' || l[0] == ';' {
				continue
			}
			key = strings.ReplaceAll(strings.TrimSpace(key), "/", ".")
			for _, dev := range x.need.Devices {
				// Only with a wildcard or by name: "all" and "default" lose to 2.
				if hit, _ := path.Match(key, "net.ipv4.conf."+dev+".rp_filter"); hit {
					found[dev] = place{file, strings.TrimSpace(value)}
				}
			}
		}
	}
	type entry struct{ name, file string }
	var files []entry
	for _, folder := range []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"} {
		for _, name := range x.folder(folder) {
			if strings.HasSuffix(name, ".conf") && !seen[name] {
				seen[name] = true
				files = append(files, entry{name, folder + "/" + name})
			}
		}
	}
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, f := range files {
		apply(f.file)
	}
	for _, dev := range x.need.Devices {
		if p, ok := found[dev]; ok && p.value != "2" {
			r.warn("echo 'net.ipv4.conf."+dev+".rp_filter = 2' >>/etc/sysctl.d/99-zz-tcpmitm.conf",
				"/%s sets rp_filter = %s on every new device, %s included: systemd-sysctl may undo what tcpmitm sets", p.file, p.value, dev)
		}
	}
}

func (x *exam) buffers(r *report) {
	init := true
	if m, there := x.read("proc/self/uid_map"); there {
		f := strings.Fields(m)
		init = len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
	}
	limit, err := strconv.Atoi(x.setting("net/core/rmem_max"))
	switch {
	case init:
		r.ok("sockets may have buffers beyond net.core.rmem_max")
	case err != nil:
		r.note("", "net.core.rmem_max is not to be seen in this network namespace, and bounds the sockets of the queues; watch tcpmitm_queue_packets_total{verdict=\"overrun\"}")
	case limit < x.need.ReceiveBuffer:
		r.warn("on the host: sysctl net.core.rmem_max="+strconv.Itoa(x.need.ReceiveBuffer),
			"in this user namespace net.core.rmem_max = %d bounds the buffers of the queues' sockets, which want %d: packets are lost in bursts", limit, x.need.ReceiveBuffer)
	default:
		r.ok("net.core.rmem_max = %d is enough", limit)
	}
}

func (x *exam) memory(r *report) {
	text, _ := x.read("proc/meminfo")
	for _, l := range lines(text) {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err == nil && kib<<10 < x.need.Memory && !x.running {
			r.warn("a smaller memory in [limits]", "[limits] memory allows %d MiB of buffers, and this host has %d MiB to spare", x.need.Memory>>20, kib>>10)
			return
		}
		r.ok("there is memory for all buffers")
		return
	}
	r.note("", "/proc/meminfo does not say how much memory there is")
}

func (x *exam) conntrackRoom(r *report) {
	count, err1 := strconv.Atoi(x.setting("net/netfilter/nf_conntrack_count"))
	limit, err2 := strconv.Atoi(x.setting("net/netfilter/nf_conntrack_max"))
	if err1 != nil || err2 != nil || limit == 0 {
		r.note("", "connection tracking is not loaded or not to be seen; tcpmitm's rules load it")
		return
	}
	if count >= limit/100*crowded {
		r.warn("sysctl net.netfilter.nf_conntrack_max="+strconv.Itoa(2*limit), "connection tracking holds %d of at most %d connections; beyond that the kernel drops SYNs", count, limit)
		return
	}
	r.ok("connection tracking holds %d of at most %d connections", count, limit)
}

// bridge is about frames that a bridge hands from port to port.
func (x *exam) bridge(r *report) {
	if x.setting("net/bridge/bridge-nf-call-iptables") == "1" {
		r.note("sysctl net.bridge.bridge-nf-call-iptables=0, if what one bridge carries is not to be intercepted",
			"bridged frames meet iptables' rules here, so connections between two ports of one bridge are intercepted as well")
		return
	}
	r.ok("bridged frames pass by, as they should")
}
