package doctor

import (
	"bufio"
	"errors"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
)

const (
	capNetAdmin = 12
	capNetRaw   = 13
	// The first kernels that give super-packets to a queue's reader
	// (NFQA_CFG_F_GSO), and that know addr_gen_mode; what is older than tried
	// may work.
	gsoMajor, gsoMinor     = 3, 10
	triedMajor, triedMinor = 5, 10
)

func (x *exam) privilege(r *report) {
	text, _ := x.read("proc/self/status")
	caps, found := uint64(0), false
	for _, l := range lines(text) {
		if v, ok := strings.CutPrefix(l, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			caps, found = n, err == nil
		}
	}
	switch {
	case !found:
		r.warn("", "/proc/self/status does not say what this process may do")
	case caps&(1<<capNetAdmin) == 0:
		r.broken("run as root, for example with sudo; in a container, add the capabilities NET_ADMIN and NET_RAW",
			"this process has no CAP_NET_ADMIN: tcpmitm would not start, and much of what follows cannot be looked at")
	case caps&(1<<capNetRaw) == 0:
		r.warn("add the capability NET_RAW", "this process has no CAP_NET_RAW: an iptables of the legacy kind would not work")
	default:
		r.ok("the network may be administered")
	}
}

func (x *exam) kernel(r *report) {
	release, _ := x.read("proc/sys/kernel/osrelease")
	major, minor, ok := version(release)
	switch {
	case !ok:
		r.warn("", "the kernel's version %q is not to be read", release)
	case older(major, minor, gsoMajor, gsoMinor):
		r.broken("boot Linux 5.10 or newer", "Linux %s gives no super-packets to NFQUEUE", release)
	case older(major, minor, triedMajor, triedMinor):
		r.warn("boot Linux 5.10 or newer", "Linux %s is older than what tcpmitm is made for", release)
	default:
		r.ok("Linux %s", release)
	}
	if x.exists("proc/sys/net/ipv6/conf/default") && !x.exists("proc/sys/net/ipv6/conf/default/addr_gen_mode") {
		r.broken("boot Linux 5.10 or newer", "this kernel has no net.ipv6.conf.*.addr_gen_mode, which tcpmitm sets on its devices")
	}
}

// version reads the numbers that a kernel's release begins with.
func version(release string) (major, minor int, ok bool) {
	a, rest, _ := strings.Cut(release, ".")
	b := rest
	if i := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
		b = rest[:i]
	}
	major, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(b)
	return major, minor, err == nil
}

func older(major, minor, thanMajor, thanMinor int) bool {
	return major < thanMajor || major == thanMajor && minor < thanMinor
}

func (x *exam) queueModule(r *report) {
	x.module(r, "nfnetlink_queue", x.exists("proc/net/netfilter/nfnetlink_queue"), "NFQUEUE")
}

// module judges whether a part of the kernel is there or can be loaded.
func (x *exam) module(r *report, name string, loaded bool, what string) {
	release, _ := x.read("proc/sys/kernel/osrelease")
	load := func(h *Host) error {
		_, err := h.Run("", "modprobe", name)
		return err
	}
	remedy := "modprobe " + name
	switch folder := "lib/modules/" + release; {
	case loaded:
		r.ok("%s is in the kernel", what)
	case x.names(folder+"/modules.dep", name) || x.names(folder+"/modules.builtin", name):
		r.add(Note, remedy, "%s is not loaded; the kernel loads %s when it is needed, unless that is forbidden", what, name).fixedBy(load)
	case x.exists(folder):
		r.broken("boot a kernel that has "+name, "%s is not in this kernel, and there is no module %s", what, name)
	default:
		// In a container the modules are the host's.
		r.add(Warning, remedy+", on the host if this is a container", "%s is not loaded, and no modules of Linux %s are to be seen here", what, release).fixedBy(load)
	}
}

// names tells whether a list of modules has this one.
func (x *exam) names(list, module string) bool {
	f, err := x.Files.Open(list)
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		path, _, _ := strings.Cut(s.Text(), ":")
		base := path[strings.LastIndexByte(path, '/')+1:]
		if name, _, _ := strings.Cut(base, ".ko"); strings.ReplaceAll(name, "-", "_") == module {
			return true
		}
	}
	return false
}

func (x *exam) tun(r *report) {
	const path = "dev/net/tun"
	s, err := fs.Stat(x.Files, path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && x.exists("sys/class/misc/tun"):
		r.broken("mkdir -p /dev/net && mknod /dev/net/tun c 10 200; in a container: --device /dev/net/tun", "the kernel has TUN devices, but there is no /dev/net/tun")
		return
	case errors.Is(err, fs.ErrNotExist):
		x.module(r, "tun", false, "TUN")
		return
	case err != nil:
		r.broken("in a container: --device /dev/net/tun", "/dev/net/tun cannot be looked at: %v", err)
		return
	case s.Mode()&fs.ModeCharDevice == 0:
		r.broken("rm /dev/net/tun; mknod /dev/net/tun c 10 200", "/dev/net/tun is no device")
		return
	}
	f, err := x.Files.Open(path)
	if err != nil {
		if x.exists("sys/class/misc/tun") {
			r.broken("in a container: --device /dev/net/tun; otherwise look at the permissions of /dev/net/tun", "/dev/net/tun cannot be opened: %v", err)
			return
		}
		x.module(r, "tun", false, "TUN")
		return
	}
	f.Close()
	r.ok("/dev/net/tun can be opened")
}

func (x *exam) tools(r *report) {
	for _, t := range []struct {
		name, lack string
		level      Level
		needed     bool
	}{
		{"iptables", "tcpmitm would not start", Broken, true},
		{"ip6tables", "only IPv4 connections would be intercepted", Warning, x.need.IPv6},
	} {
		text, err := x.Run("", t.name, "-V")
		switch {
		case !t.needed:
		case errors.Is(err, exec.ErrNotFound):
			r.add(t.level, "apt-get install iptables", "there is no program %s: %s", t.name, t.lack)
		case err != nil:
			r.add(t.level, "apt-get install --reinstall iptables", "%s does not work: %v", t.name, err)
		default:
			x.kind(r, t.name, strings.TrimSpace(text))
		}
	}
}

// kind judges an iptables by what it says of itself, for example
// "iptables v1.8.9 (nf_tables)".
func (x *exam) kind(r *report, name, text string) {
	f := strings.Fields(text)
	number := ""
	if len(f) > 1 {
		number = strings.TrimPrefix(f[1], "v")
	}
	major, minor, ok := version(number)
	if !ok || older(major, minor, 1, 8) {
		r.warn("install iptables 1.8 or newer", "%s is %q, which tcpmitm was not made for", name, text)
		return
	}
	r.ok("%s", text)
	list := "proc/net/ip_tables_names"
	if name == "ip6tables" {
		list = "proc/net/ip6_tables_names"
	}
	if legacy, _ := x.read(list); legacy != "" && strings.Contains(text, "nf_tables") {
		r.note("look at "+strings.TrimSuffix(name, "s")+"s-legacy-save; rules are best kept with one kind of iptables",
			"this host has tables of the legacy iptables as well (%s): their rules hold beside those of %s; tcpmitm has what it sends let through by the filter of both, and nobody has looked at the others",
			strings.Join(strings.Fields(legacy), ", "), text)
	}
}
