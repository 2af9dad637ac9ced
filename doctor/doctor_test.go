package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// fake is a host in which all is well, until a test breaks something.
type fake struct {
	files  fstest.MapFS
	output map[string]string // of a tool, by its command line
	fail   map[string]error
	wrote  map[string]string
	ran    []string
}

const plan4 = "*raw\n:TCPMITM-PRE - [0:0]\n-A PREROUTING -j TCPMITM-PRE\n-A TCPMITM-PRE -j RETURN\nCOMMIT\n" +
	"*filter\n:TCPMITM-FWD - [0:0]\n-A FORWARD -m comment --comment tcpmitm -j TCPMITM-FWD\n-A TCPMITM-FWD -i mitm-c -j ACCEPT\nCOMMIT\n"

func needed() Need {
	return Need{
		IPv4: true, IPv6: true, FirstQueue: 29300, Queues: 2, Devices: [2]string{"mitm-c", "mitm-s"},
		Mark: 0x08000000, Zone: 29300, Memory: 1 << 30, Bypass: true, ReceiveBuffer: 32 << 20,
		Rules: [2]string{plan4, plan4}, Chains: "TCPMITM-", Lock: "@tcpmitm/run",
	}
}

func healthy() *fake {
	f := &fake{
		files: fstest.MapFS{},
		output: map[string]string{
			"iptables -V": "iptables v1.8.9 (nf_tables)", "ip6tables -V": "ip6tables v1.8.9 (nf_tables)",
			"unshare --net iptables-restore": "", "unshare --net ip6tables-restore": "",
			"iptables-save": "", "ip6tables-save": "", "nft list ruleset": "",
			"ethtool -k eth0": "large-receive-offload: off [fixed]\ngeneric-receive-offload: on\nrx-gro-list: off\nhw-tc-offload: off [fixed]\n",
			"ip -d link show": "2: eth0: <UP> mtu 1500\n    link/ether 02 gso_max_size 65536 gro_max_size 65536\n",
			"ip rule":         "0:	from all lookup local\n",
		},
		fail:  map[string]error{},
		wrote: map[string]string{},
	}
	for path, text := range map[string]string{
		"proc/self/status":                             "Name:\ttcpmitm\nCapEff:\t000001ffffffffff\n",
		"proc/self/mounts":                             "proc /proc proc rw,nosuid 0 0\n",
		"proc/self/uid_map":                            "         0          0 4294967295\n",
		"proc/sys/kernel/osrelease":                    "6.1.0-13-amd64\n",
		"proc/sys/net/ipv4/ip_forward":                 "1\n",
		"proc/sys/net/ipv4/tcp_early_demux":            "1\n",
		"proc/sys/net/ipv6/conf/all/forwarding":        "1\n",
		"proc/sys/net/ipv6/conf/all/disable_ipv6":      "0\n",
		"proc/sys/net/ipv6/conf/default/addr_gen_mode": "0\n",
		"proc/sys/net/netfilter/nf_conntrack_count":    "10\n",
		"proc/sys/net/netfilter/nf_conntrack_max":      "65536\n",
		"proc/net/netfilter/nfnetlink_queue":           "",
		"proc/net/unix":                                "Num RefCount\n0000: 2 0 10000 1 1 99 /run/x\n",
		"proc/meminfo":                                 "MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n",
		"sys/class/net/eth0/mtu":                       "1500",
		"sys/class/misc/tun/dev":                       "10:200",
		"lib/modules/6.1.0-13-amd64/modules.builtin":   "kernel/net/core/x.ko\n",
		"lib/modules/6.1.0-13-amd64/modules.dep":       "kernel/net/netfilter/nfnetlink_queue.ko.xz: kernel/net/netfilter/nfnetlink.ko\n",
	} {
		f.set(path, text)
	}
	f.files["dev/net/tun"] = &fstest.MapFile{Mode: fs.ModeCharDevice | fs.ModeDevice | 0o666}
	return f
}

func (f *fake) set(path, text string) { f.files[path] = &fstest.MapFile{Data: []byte(text)} }

// run makes a tcpmitm run: it holds the lock, and has its devices, queues and
// rules.
func (f *fake) run() {
	f.set("proc/net/unix", "0000: 2 0 10000 1 1 99 @tcpmitm/run\n")
	for _, d := range []string{"mitm-c", "mitm-s"} {
		f.set("sys/class/net/"+d+"/mtu", "65535")
		for k, v := range map[string]string{"rp_filter": "2", "accept_local": "1", "forwarding": "1"} {
			f.set("proc/sys/net/ipv4/conf/"+d+"/"+k, v+"\n")
		}
	}
	f.set("proc/net/netfilter/nfnetlink_queue", "29300 77 0 2 65531 0 0 9 1\n29301 77 0 2 65531 0 0 9 1\n")
	f.output["iptables-save"], f.output["ip6tables-save"] = plan4, plan4
}

func (f *fake) host() *Host {
	return &Host{
		Files: f.files,
		Run: func(_, tool string, args ...string) (string, error) {
			line := strings.Join(append([]string{tool}, args...), " ")
			f.ran = append(f.ran, line)
			if err := f.fail[line]; err != nil {
				return "", err
			}
			out, known := f.output[line]
			if !known {
				return "", fmt.Errorf("%s: %w", tool, exec.ErrNotFound)
			}
			return out, nil
		},
		Write: func(path, value string) error { f.wrote[path] = value; return nil },
	}
}

func TestHealthyHostHasNothingButOK(t *testing.T) {
	for name, breakIt := range map[string]func(*fake){"idle": func(*fake) {}, "running": (*fake).run} {
		f := healthy()
		breakIt(f)
		seen := map[string]bool{}
		for _, d := range Examine(f.host(), needed()) {
			seen[d.Check] = true
			if d.Level != OK {
				t.Errorf("%s: %s: %s: %s", name, d.Level, d.Check, d.Text)
			}
		}
		for _, c := range checks {
			if !seen[c.name] {
				t.Errorf("%s: check %s says nothing", name, c.name)
			}
		}
	}
}

// sickness is one thing broken, and the one finding that it must lead to.
type sickness struct {
	name    string
	breakIt func(f *fake, n *Need)
	check   string
	level   Level
	text    string // must be in the finding
	remedy  string // must be in the remedy
}

func rulesOf(table, rule string) func(*fake, *Need) {
	return func(f *fake, _ *Need) { f.output["iptables-save"] = "*" + table + "\n" + rule + "\nCOMMIT\n" }
}

func nftOf(table, chain, body string) func(*fake, *Need) {
	return func(f *fake, _ *Need) {
		f.output["nft list ruleset"] = "table " + table + " {\n\tchain " + chain + " {\n\t\t" + strings.ReplaceAll(body, "\n", "\n\t\t") + "\n\t}\n}\n"
	}
}

func file(path, text string) func(*fake, *Need) { return func(f *fake, _ *Need) { f.set(path, text) } }

func output(line, text string) func(*fake, *Need) {
	return func(f *fake, _ *Need) { f.output[line] = text }
}

func running(then func(*fake, *Need)) func(*fake, *Need) {
	return func(f *fake, n *Need) { f.run(); then(f, n) }
}

const forwardHook = "type filter hook forward priority filter; policy "

var sicknesses = []sickness{
	{"no privilege", file("proc/self/status", "CapEff:\t0000000000000000\n"), "privilege", Broken, "CAP_NET_ADMIN", "run as root"},
	{"no raw sockets", file("proc/self/status", "CapEff:\t0000000000001000\n"), "privilege", Warning, "CAP_NET_RAW", "NET_RAW"},
	{"ancient kernel", file("proc/sys/kernel/osrelease", "3.2.0\n"), "kernel", Broken, "3.2.0", "5.10"},
	{"no ring in this kernel", file("proc/sys/kernel/osrelease", "5.15.0-x\n"), "small-packets", Note, "5.15", "6.0"},
	{"ring switched off", file("proc/sys/kernel/io_uring_disabled", "2\n"), "small-packets", Note, "io_uring", "io_uring_disabled=0"},
	{"old kernel", file("proc/sys/kernel/osrelease", "4.19.0-x\n"), "kernel", Warning, "older", "5.10"},
	{"no addr_gen_mode", func(f *fake, _ *Need) {
		delete(f.files, "proc/sys/net/ipv6/conf/default/addr_gen_mode")
		f.set("proc/sys/net/ipv6/conf/default/mtu", "1280")
	}, "kernel", Broken, "addr_gen_mode", "5.10"},
	{"queue module not loaded", func(f *fake, _ *Need) { delete(f.files, "proc/net/netfilter/nfnetlink_queue") },
		"queue-module", Note, "not loaded", "modprobe nfnetlink_queue"},
	{"queue module missing", func(f *fake, _ *Need) {
		delete(f.files, "proc/net/netfilter/nfnetlink_queue")
		f.set("lib/modules/6.1.0-13-amd64/modules.dep", "kernel/net/netfilter/nfnetlink_queue_x.ko:\n")
	}, "queue-module", Broken, "not in this kernel", "boot a kernel"},
	{"modules out of sight", func(f *fake, _ *Need) {
		for path := range f.files {
			if strings.HasPrefix(path, "lib/") || path == "proc/net/netfilter/nfnetlink_queue" {
				delete(f.files, path)
			}
		}
	}, "queue-module", Warning, "no modules", "on the host"},
	{"no /dev/net/tun", func(f *fake, _ *Need) { delete(f.files, "dev/net/tun") }, "tun", Broken, "no /dev/net/tun", "mknod"},
	{"tun is a file", file("dev/net/tun", ""), "tun", Broken, "no device", "mknod"},
	{"no TUN at all", func(f *fake, _ *Need) { delete(f.files, "dev/net/tun"); delete(f.files, "sys/class/misc/tun/dev") },
		"tun", Broken, "TUN is not in this kernel", "boot a kernel"},
	{"no iptables", func(f *fake, _ *Need) { delete(f.output, "iptables -V") }, "tools", Broken, "no program iptables", "apt-get install iptables"},
	{"no ip6tables", func(f *fake, _ *Need) { delete(f.output, "ip6tables -V") }, "tools", Warning, "only IPv4", "apt-get"},
	{"old iptables", output("iptables -V", "iptables v1.4.21"), "tools", Warning, "1.4.21", "1.8"},
	{"legacy beside", file("proc/net/ip_tables_names", "nat\nfilter\n"), "tools", Note, "nat, filter", "legacy"},
	{"settings read-only", file("proc/self/mounts", "proc /proc proc rw 0 0\nproc /proc/sys proc ro,nosuid 0 0\n"), "settings-writable", Broken, "/proc/sys", "--privileged"},
	{"rules refused", func(f *fake, _ *Need) {
		f.fail["unshare --net iptables-restore"] = errors.New("iptables-restore v1.8.9: line 7: RULE_APPEND failed")
	}, "rules-accepted", Broken, "line 7", "modprobe"},
	{"no namespaces", func(f *fake, _ *Need) {
		f.fail["unshare --net iptables-restore"] = errors.New("unshare: exit status 1: unshare: unshare failed: Operation not permitted")
	}, "rules-accepted", Note, "not been tried", ""},
	{"not a router", file("proc/sys/net/ipv4/ip_forward", "0\n"), "forwarding", Broken, "does not forward IPv4", "ip_forward=1"},
	{"no router of IPv6", file("proc/sys/net/ipv6/conf/all/forwarding", "0\n"), "forwarding", Warning, "IPv6", "forwarding=1"},
	{"local, all or none", func(f *fake, n *Need) { n.Local = true; f.set("proc/sys/net/ipv6/conf/all/forwarding", "0\n") },
		"forwarding", Warning, "all devices or for none", "forwarding=1"},
	{"device taken", file("sys/class/net/mitm-s/mtu", "1500"), "devices", Broken, "mitm-s", "tun_prefix"},
	{"device gone", running(func(f *fake, _ *Need) { delete(f.files, "sys/class/net/mitm-c/mtu") }), "devices", Broken, "no device mitm-c", "restart"},
	{"strict source check", running(file("proc/sys/net/ipv4/conf/mitm-c/rp_filter", "1\n")), "source-check", Broken, "mitm-c is 1", "rp_filter=2"},
	{"device does not forward", running(file("proc/sys/net/ipv4/conf/mitm-s/forwarding", "0\n")), "source-check", Broken, "forwarding of mitm-s", "forwarding=1"},
	{"strict for every new device", file("usr/lib/sysctl.d/50-default.conf", "# all\n-net.ipv4.conf.*.rp_filter = 1\n"), "source-check", Warning, "50-default.conf", "99-zz-tcpmitm.conf"},
	{"firewalld's source check", nftOf("inet firewalld", "filter_PREROUTING", "type filter hook prerouting priority filter + 10; policy accept;\nmeta nfproto ipv6 fib saddr . mark . iif oif missing drop"),
		"source-check", Broken, "fib saddr", "IPv6_rpfilter=no"},
	{"marks by device", rulesOf("mangle", "-A PREROUTING -i lan0 -p tcp -j MARK --set-xmark 0x1/0xff"), "routes-by-device", Warning, "lan0", "-I PREROUTING 2 -i mitm-s"},
	{"source check in iptables", rulesOf("raw", "-A PREROUTING -m rpfilter --invert -j DROP"), "source-check", Broken, "rpfilter", "-I PREROUTING 1 -i mitm-s -j RETURN"},
	{"queue taken", func(f *fake, _ *Need) {
		f.set("proc/net/netfilter/nfnetlink_queue", "29301 4711 0 2 65531 0 0 1 1\n")
		f.set("proc/4711/comm", "suricata\n")
	}, "queue-numbers", Broken, "29301 belongs to another program (process 4711, suricata)", "queue_base"},
	{"queue used by a rule", rulesOf("filter", "-A FORWARD -p tcp -j NFQUEUE --queue-balance 29200:29300"), "queue-numbers", Broken, "29200:29300", "queue_base"},
	{"queue not read", running(file("proc/net/netfilter/nfnetlink_queue", "29300 77 0 2 65531 0 0 9 1\n")), "queue-numbers", Broken, "1 of the 2", "restart"},
	{"queue was full", running(file("proc/net/netfilter/nfnetlink_queue", "29300 77 0 2 65531 3 0 9 1\n29301 77 0 2 65531 0 0 9 1\n")), "queue-drops", Warning, "full 3 times", "more queues"},
	{"socket was full", running(file("proc/net/netfilter/nfnetlink_queue", "29300 77 0 2 65531 0 5 9 1\n29301 77 0 2 65531 0 0 9 1\n")), "queue-drops", Warning, "lost 5", "more queues"},
	{"small buffers", func(f *fake, _ *Need) {
		f.set("proc/self/uid_map", "0 100000 65536\n")
		f.set("proc/sys/net/core/rmem_max", "212992\n")
	}, "buffers", Warning, "212992", "rmem_max=33554432"},
	{"little memory", file("proc/meminfo", "MemAvailable: 1000 kB\n"), "memory", Warning, "1024 MiB", "[limits]"},
	{"conntrack full", file("proc/sys/net/netfilter/nf_conntrack_count", "60000\n"), "conntrack-room", Warning, "60000", "131072"},
	{"flowtable", nftOf("inet x", "fwd", forwardHook+"accept;\nip protocol tcp flow add @f"), "offload", Broken, "flow add @f", "take that rule out"},
	{"legacy offload", rulesOf("filter", "-A FORWARD -j FLOWOFFLOAD"), "offload", Broken, "FLOWOFFLOAD", "take that rule out"},
	{"a vendor's fast path", file("proc/modules", "nf_tables 1 0 - Live 0x0\nshortcut_fe_cm 24576 0 - Live 0x0\n"), "offload", Warning, "Shortcut Forwarding Engine", "rmmod shortcut_fe_cm"},
	{"lro", output("ethtool -k eth0", "large-receive-offload: on\n"), "receive-offload", Warning, "eth0", "lro off"},
	{"gro lists", output("ethtool -k eth0", "rx-gro-list: on\n"), "receive-offload", Warning, "rx-gro-list", "rx-gro-list off"},
	{"gro in hardware", output("ethtool -k eth0", "rx-gro-hw: on\n"), "receive-offload", Note, "rx-gro-hw", "rx-gro-hw off"},
	{"broken frames", output("ethtool -k eth0", "rx-all: on\n"), "receive-offload", Warning, "rx-all", "rx-all off"},
	{"no checksums", output("ethtool -k eth0", "rx-checksumming: off\n"), "receive-offload", Note, "rx-checksumming", "rx on"},
	{"no gro", output("ethtool -k eth0", "generic-receive-offload: off\n"), "receive-offload", Note, "eth0", "gro on"},
	{"forwarding in hardware", output("ethtool -k eth0", "hw-tc-offload: on\n"), "receive-offload", Note, "hw-tc-offload", "off"},
	{"big TCP", output("ip -d link show", "2: eth0@if3: <UP> mtu 1500\n    gro_max_size 185000\n"), "receive-offload", Warning, "185000", "dev eth0 gro_max_size 65536"},
	{"xdp", output("ip -d link show", "2: eth0: <UP> mtu 1500 xdp qdisc\n"), "receive-offload", Note, "XDP", "xdp off"},
	{"no ethtool", func(f *fake, _ *Need) {
		delete(f.output, "ethtool -k eth0")
		f.files["sys/class/net/eth0/mtu"] = &fstest.MapFile{}
	}, "receive-offload", Note, "no ethtool", "install ethtool"},
	{"another transparent proxy", rulesOf("mangle", "-A PREROUTING -p tcp -j TPROXY --on-port 3128 --tproxy-mark 0x1/0x1"), "early-demux", Warning, "TPROXY", "tcp_early_demux=0"},
	{"another transparent proxy, nft", nftOf("inet p", "pre", "type filter hook prerouting priority mangle; policy accept;\ntcp dport 80 tproxy to :3128"), "early-demux", Warning, "tproxy", "tcp_early_demux=0"},
	{"rules left", func(f *fake, _ *Need) { f.output["iptables-save"] = plan4 }, "our-rules", Warning, "no tcpmitm runs", "firewall remove"},
	{"rules left that block", func(f *fake, n *Need) { f.output["iptables-save"] = plan4; n.Bypass = false }, "our-rules", Broken, "held back", "firewall remove"},
	{"rules gone", running(func(f *fake, _ *Need) { f.output["iptables-save"] = "" }), "our-rules", Broken, "gone", "restart"},
	{"jump gone", running(func(f *fake, _ *Need) {
		f.output["iptables-save"] = strings.Replace(plan4, "-A PREROUTING -j TCPMITM-PRE\n", "", 1)
	}), "our-rules", Broken, "1 of the jumps", "restart"},
	{"INVALID before ours", running(func(f *fake, _ *Need) {
		f.output["iptables-save"] = strings.Replace(plan4, "-A FORWARD", "-A FORWARD -m conntrack --ctstate INVALID -j DROP\n-A FORWARD", 1)
	}), "order", Warning, "INVALID", "restart"},
	{"policy of another table", nftOf("inet fw", "forward", forwardHook+"drop;\nct state established,related accept"), "other-chains", Broken, "policy drop", "nft insert rule inet fw forward"},
	{"bare drop at the end", nftOf("inet fw", "forward", forwardHook+"accept;\nct state vmap { established : accept }\ncounter packets 0 bytes 0 log prefix \"x \" reject with icmpx admin-prohibited"), "other-chains", Broken, "reject", "nft insert"},
	{"firewalld", nftOf("inet firewalld", "filter_FORWARD", forwardHook+"accept;\nct state invalid drop\nreject with icmpx admin-prohibited"), "other-chains", Broken, "reject", "firewall-cmd"},
	{"table called filter that is not of iptables", nftOf("ip filter", "forward", forwardHook+"drop;"), "other-chains", Broken, "policy drop", "ip filter forward"},
	{"untracked dropped", rulesOf("mangle", "-A PREROUTING -m conntrack --ctstate INVALID,UNTRACKED -j DROP"), "other-chains", Broken, "UNTRACKED", "-i mitm-c -j RETURN"},
	{"all but tracked dropped", rulesOf("mangle", "-A FORWARD -m conntrack ! --ctstate NEW,RELATED,ESTABLISHED -j DROP"), "other-chains", Broken, "NEW,RELATED", "-I FORWARD"},
	{"no nft", func(f *fake, _ *Need) { delete(f.output, "nft list ruleset") }, "other-chains", Note, "no nft", "install nftables"},
	{"docker", rulesOf("filter", "-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN"), "docker", Note, "Docker", "restart tcpmitm"},
	{"docker's raw rules", rulesOf("raw", "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"), "docker", Warning, "172.17.0.2", "-i mitm-s -j ACCEPT"},
	{"mark overwritten", rulesOf("mangle", "-A FORWARD -j MARK --set-xmark 0x1/0xffffffff"), "mark", Warning, "--set-xmark", "another mark"},
	{"zone taken", rulesOf("raw", "-A PREROUTING -i eth0 -j CT --zone 29300"), "mark", Warning, "zone", "another zone"},
	{"routes by our bit", output("ip rule", "9: from all fwmark 0x8000000/0xff000000 lookup 7\n"), "mark", Note, "fwmark", "another mark"},
	{"bridge", file("proc/sys/net/bridge/bridge-nf-call-iptables", "1\n"), "bridge", Note, "bridge", "bridge-nf-call-iptables=0"},
}

func TestEachSicknessIsFound(t *testing.T) {
	met := map[string]bool{}
	for _, v := range sicknesses {
		t.Run(v.name, func(t *testing.T) {
			f, n := healthy(), needed()
			v.breakIt(f, &n)
			found := Examine(f.host(), n)
			i := slices.IndexFunc(found, func(d Finding) bool { return d.Check == v.check && d.Level == v.level })
			if i < 0 {
				t.Fatalf("no finding of %s that is %s in %+v", v.check, v.level, found)
			}
			if d := found[i]; !strings.Contains(d.Text, v.text) || !strings.Contains(d.Remedy, v.remedy) {
				t.Errorf("found %q, remedy %q; want %q and %q in them", d.Text, d.Remedy, v.text, v.remedy)
			}
			for _, d := range found {
				if d.Check != v.check && d.Level > Note {
					t.Errorf("%s too: %s", d.Check, d.Text)
				}
			}
		})
		met[v.check] = true
	}
	for _, c := range checks {
		if !met[c.name] {
			t.Errorf("no sickness is for check %s", c.name)
		}
	}
}

// What looks like a sickness and is none.
func TestNoFalseAlarm(t *testing.T) {
	for name, breakIt := range map[string]func(*fake, *Need){
		"exempted by name":      nftOf("inet fw", "forward", forwardHook+"drop;\niifname { \"mitm-c\", \"mitm-s\" } accept"),
		"exempted by prefix":    nftOf("inet fw", "forward", forwardHook+"drop;\niifname \"mitm-*\" counter packets 1 bytes 2 accept comment \"ours\""),
		"untracked accepted":    nftOf("inet fw", "forward", forwardHook+"drop;\nct state established,related,untracked accept"),
		"only invalid":          nftOf("inet fw", "forward", forwardHook+"accept;\nct state invalid drop\niifname \"x\" drop"),
		"iptables' own":         nftOf("ip filter", "FORWARD", forwardHook+"drop;"),
		"input, not local":      nftOf("inet fw", "input", "type filter hook input priority filter; policy drop;"),
		"firewalld trusts us":   nftOf("inet firewalld", "filter_FORWARD", forwardHook+"accept;\niifname \"mitm-c\" goto filter_FWD_trusted\niifname \"mitm-s\" goto filter_FWD_trusted\nreject with icmpx admin-prohibited"),
		"loose source check":    rulesOf("raw", "-A PREROUTING -m rpfilter --loose --invert -j DROP"),
		"other modules":         file("proc/modules", "ecm_x 1 0\nnft_flow_offload 1 0\nnf_flow_table 1 0\n"),
		"offloads that are off": output("ethtool -k eth0", "rx-gro-hw: off [fixed]\nrx-all: off\nrx-checksumming: on [fixed]\nrx-udp-gro-forwarding: on\n"),
		"INVALID only":          rulesOf("mangle", "-A PREROUTING -m conntrack --ctstate INVALID -j DROP"),
		"other bits":            rulesOf("mangle", "-A FORWARD -j MARK --set-xmark 0x4000/0x4000"),
		"marked before":         rulesOf("mangle", "-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff"),
		"other queues":          rulesOf("filter", "-A FORWARD -j NFQUEUE --queue-num 0"),
		"docker, allowed":       rulesOf("raw", "-A PREROUTING -i mitm-s -j ACCEPT\n-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"),
		"overridden by a file": func(f *fake, _ *Need) {
			f.set("usr/lib/sysctl.d/50-default.conf", "net.ipv4.conf.*.rp_filter=1\n")
			f.set("etc/sysctl.d/99-zz.conf", "net/ipv4/conf/mitm-c/rp_filter=2\nnet.ipv4.conf.mitm-s.rp_filter=2\n")
		},
		"queues of others": file("proc/net/netfilter/nfnetlink_queue", "5 77 0 2 65531 9 9 9 1\nodd line\n"),
		"local on a host that does not forward": func(f *fake, n *Need) {
			n.Local = true
			f.set("proc/sys/net/ipv4/ip_forward", "0\n")
		},
	} {
		f, n := healthy(), needed()
		breakIt(f, &n)
		for _, d := range Examine(f.host(), n) {
			if d.Level > Note {
				t.Errorf("%s: %s: %s: %s", name, d.Level, d.Check, d.Text)
			}
		}
	}
}

func TestFixDoesOnlyWhatIsSafe(t *testing.T) {
	f := healthy()
	f.run()
	f.set("proc/sys/net/ipv4/conf/mitm-c/rp_filter", "1\n")
	f.set("proc/sys/net/ipv4/ip_forward", "0\n")
	delete(f.files, "dev/net/tun")
	delete(f.files, "sys/class/misc/tun/dev")
	f.set("lib/modules/6.1.0-13-amd64/modules.dep", "kernel/drivers/net/tun.ko:\n")
	f.output["modprobe tun"] = ""
	h := f.host()
	found := Examine(h, needed())
	f.ran = nil
	Fix(h, found)
	if len(f.wrote) != 1 || f.wrote["proc/sys/net/ipv4/conf/mitm-c/rp_filter"] != "2" {
		t.Errorf("wrote %v, want only the source check of mitm-c", f.wrote)
	}
	if len(f.ran) != 1 || f.ran[0] != "modprobe tun" {
		t.Errorf("ran %q, want modprobe tun", f.ran)
	}
	if n := Count(found, Broken); n != 1 {
		t.Errorf("%d findings are still broken, want 1: forwarding is not ours to switch on", n)
	}
}

func TestFixThatFailsSaysSo(t *testing.T) {
	f := healthy()
	delete(f.files, "proc/net/netfilter/nfnetlink_queue")
	h := f.host() // which has no modprobe
	found := Examine(h, needed())
	Fix(h, found)
	i := slices.IndexFunc(found, func(d Finding) bool { return d.Check == "queue-module" })
	if found[i].Fixed || !strings.Contains(found[i].Failed, "modprobe") {
		t.Errorf("finding is %+v, want it to say why it was not fixed", found[i])
	}
}

// A host of which nothing can be seen has many findings and no panic.
func TestEmptyHost(t *testing.T) {
	h := &Host{Files: fstest.MapFS{}, Run: func(string, string, ...string) (string, error) { return "", errors.New("no") }}
	found := Examine(h, needed())
	if Count(found, Broken) == 0 || !slices.IsSortedFunc(found, func(a, b Finding) int { return int(b.Level - a.Level) }) {
		t.Errorf("findings %+v, want broken ones first", found)
	}
	b, err := json.Marshal(found[0])
	if err != nil || !strings.Contains(string(b), `"level":"broken"`) {
		t.Errorf("as JSON: %s, %v", b, err)
	}
}

// Whatever tools and files say, nothing panics.
func FuzzExamine(f *testing.F) {
	f.Add("*raw\n-A PREROUTING -d 1.2.3.4 ! -i\n-A\n-j\n")
	f.Add("table inet x {\n\tchain y {\n\t\ttype filter hook forward\n\t\tiifname\n}\n")
	f.Add("29300\n29300 1 2 3 4 5 6 7 8\n1: a b c gro_max_size\n =\n-=\n")
	f.Fuzz(func(t *testing.T, text string) {
		h := healthy()
		for line := range h.output {
			h.output[line] = text
		}
		for path := range h.files {
			if path != "dev/net/tun" {
				h.set(path, text)
			}
		}
		h.set("etc/sysctl.d/x.conf", text)
		Examine(h.host(), needed())
	})
}
