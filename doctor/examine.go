package doctor

import "slices"

// Need is what a run with some configuration would need of the host.
type Need struct {
	Local      bool // mode = "local"
	IPv4, IPv6 bool // families of which something is to be intercepted
	FirstQueue int
	Queues     int
	Devices    [2]string // towards clients and towards servers
	Mark       uint32
	Zone       int
	Memory     int64 // octets, of all buffers
	Bypass     bool  // when_down = "bypass"
	// ReceiveBuffer is what each queue's socket asks for, in octets.
	ReceiveBuffer int
	// Rules are what a run would install, as iptables-restore reads it, for
	// IPv4 and for IPv6; "" is nothing.
	Rules [2]string
	// Chains is the prefix of the names of our chains.
	Chains string
	// Lock is the abstract socket that a run holds.
	Lock string
}

// exam is one examination: what several checks want to know is looked up once.
type exam struct {
	*Host
	need    Need
	running bool // a tcpmitm runs in this network namespace
	tables  [2]ruleset
	nft     nftables
}

// Examine looks at everything and returns what it found, the worst first and
// otherwise in the order of the checks.
func Examine(h *Host, need Need) []Finding {
	x := &exam{Host: h, need: need, running: runs(h, need.Lock)}
	x.tables[0] = readTables(h, "iptables-save")
	x.tables[1] = readTables(h, "ip6tables-save")
	x.nft = readNFT(h)
	var all []Finding
	for _, c := range checks {
		r := &report{check: c.name}
		c.look(x, r)
		all = append(all, r.findings...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return int(b.Level - a.Level) })
	return all
}

// checks are all checks, in the order in which a person would look.
var checks = []struct {
	name string
	look func(*exam, *report)
}{
	{"privilege", (*exam).privilege},
	{"kernel", (*exam).kernel},
	{"queue-module", (*exam).queueModule},
	{"tun", (*exam).tun},
	{"small-packets", (*exam).ring},
	{"tools", (*exam).tools},
	{"settings-writable", (*exam).writable},
	{"rules-accepted", (*exam).trial},
	{"forwarding", (*exam).forwarding},
	{"devices", (*exam).devices},
	{"source-check", (*exam).sourceCheck},
	{"queue-numbers", (*exam).queueNumbers},
	{"queue-drops", (*exam).queueDrops},
	{"buffers", (*exam).buffers},
	{"memory", (*exam).memory},
	{"conntrack-room", (*exam).conntrackRoom},
	{"offload", (*exam).offload},
	{"receive-offload", (*exam).receiveOffload},
	{"early-demux", (*exam).earlyDemux},
	{"our-rules", (*exam).ourRules},
	{"order", (*exam).order},
	{"other-chains", (*exam).otherChains},
	{"docker", (*exam).docker},
	{"mark", (*exam).mark},
	{"routes-by-device", (*exam).deviceRoutes},
	{"bridge", (*exam).bridge},
}
