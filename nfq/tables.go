package nfq

import (
	"fmt"
	"slices"
	"strings"
)

// The rules, table by table. What they have to achieve:
//
// A client's SYN is judged by the host's own firewall as NEW, in a conntrack
// zone of its own, so that a repeated SYN is judged alike although conntrack
// meanwhile knows the connection that we made to the server. It is taken in
// POSTROUTING, after the filter and before source NAT, and never confirmed.
// Everything else that a client sends is taken before conntrack sees it: for
// conntrack there is only our connection to the server, and it is that which
// is NATed. What the server answers is taken in POSTROUTING, where NAT has
// been undone and the filter has judged.
//
// What is to be taken in POSTROUTING is marked on the way there, where the
// interfaces are known and nothing of the host's own traffic passes. So a
// mark that gets lost makes a packet pass us, and what comes from our own
// devices, which is never marked, cannot meet a queue again. The mark is set
// after routing, so it cannot disturb rules that route by mark.
//
// SYNs to the host's own addresses stay in the ordinary zone: most are for
// the host itself, and conntrack must know those.

// inputTable is where packets for the host's own sockets are taken: the only
// table whose INPUT comes after the filter's. A kernel without it has to
// make do with mangle.
const inputTable = "security"

// tables makes all rules of one family.
func (in *Intercept) tables(v6 bool, input string) []*table {
	if in.Loopback {
		return append([]*table{in.natTable()}, in.packetTables(v6, input)...)
	}
	return in.packetTables(v6, input)
}

func (in *Intercept) packetTables(v6 bool, input string) []*table {
	ts := []*table{in.filterTable(v6), in.inputTable(v6, input), in.mangleTable(v6), in.rawTable(v6)}
	if input != "mangle" {
		return ts
	}
	// Both halves of the one table go in together.
	into, from := ts[2], ts[1]
	into.jumps = append(into.jumps, from.jumps...)
	for _, c := range from.chains {
		if !into.has(c.name) {
			into.chains = append(into.chains, c)
		}
	}
	return []*table{ts[0], into, ts[3]}
}

func (t *table) has(name string) bool {
	for _, c := range t.chains {
		if c.name == name {
			return true
		}
	}
	return false
}

// queueChain makes the chain that spreads packets over the queues, by the
// client's port, and returns the target that leads there. With one queue the
// target is that queue.
func (in *Intercept) queueChain(t *table, client port, v6 bool) []string {
	if in.Queues == 1 {
		return in.queueTarget(0)
	}
	name := "QSPORT"
	if client == destinationPort {
		name = "QDPORT"
	}
	c := t.chain(name, "")
	c.rules = in.spread(client, v6)
	return []string{c.name}
}

func (in *Intercept) setMark() []string {
	return []string{"MARK", "--set-xmark", fmt.Sprintf("0x%x/0x%x", in.Mark, in.Mark)}
}

func (in *Intercept) clearMark() []string {
	return []string{"MARK", "--set-xmark", fmt.Sprintf("0x0/0x%x", in.Mark)}
}

// marked tells packets with our mark, or without if not is "!".
func (in *Intercept) marked(not ...string) match {
	m := append([]string{"-m", "mark"}, not...)
	return match{more: append(m, "--mark", fmt.Sprintf("0x%x/0x%x", in.Mark, in.Mark))}
}

func (in *Intercept) device(leg int) match { return match{in: in.TUNPrefix + legSuffix[leg]} }

// namesInterfaces tells whether clients are told by interfaces that are surely
// not our own devices: a pattern might mean those, too.
func (in *Intercept) namesInterfaces() bool {
	ours := func(name string) bool {
		return strings.HasSuffix(name, "+") || strings.HasPrefix(name, in.TUNPrefix+"-")
	}
	return len(in.ClientSide) > 0 && !slices.ContainsFunc(in.ClientSide, ours)
}

// rawTable: before conntrack.
func (in *Intercept) rawTable(v6 bool) *table {
	t := &table{name: "raw"}
	pre := t.chain("PRE", "PREROUTING")
	take := t.chain("TAKE", "")
	tcp := match{proto: "tcp"}
	stages := in.toServer(v6)
	byInterface := in.Mode == Gateway && in.namesInterfaces()
	if byInterface {
		// What comes most often is told first, where that cannot be what we
		// send ourselves.
		t.lead(pre, tcp, stages, take.name)
	}
	// What we send to clients has the server's address; to conntrack it
	// would be a second TCP connection on the same tuple.
	pre.add(in.device(0), "CT", "--notrack")
	if in.Loopback {
		pre.add(in.toCaller(), "CT", "--notrack")
	}
	// What we send stands for packets that have passed this table with other
	// addresses and by other devices; docker, for one, drops here what comes
	// for a container's own address by a device that is not its bridge.
	pre.add(in.device(0), "ACCEPT")
	pre.add(in.device(1), "ACCEPT")
	pre.add(match{in: "lo"}, "RETURN")
	if !byInterface {
		t.lead(pre, tcp, stages, take.name)
	}
	if in.PortForwards && (len(in.Servers) > 0 || len(in.Ports) > 0) {
		// What the client names is not what the hints name: those are
		// the server's own address and port.
		t.lead(pre, tcp.and(toLocal()), stages[:2], take.name)
	}
	queue := in.queueChain(t, sourcePort, v6)
	if in.Mode == Local {
		out := t.chain("OUT", "OUTPUT")
		if in.Loopback {
			// SYNs stay in the ordinary zone, for the host may translate them
			// to another address. The reader lets them go on; those that are
			// sent again it keeps from conntrack, as the zone does elsewhere.
			t.lead(out, match{out: "lo", proto: "tcp"}, stages, queue...)
		}
		out.add(match{out: "lo"}, "RETURN")
		t.lead(out, tcp, stages, take.name)
	}
	if in.Mode == Gateway && !in.PortForwards {
		// Nothing for the host itself is ours: its own connections need not
		// make the detour.
		take.add(notSYN().and(toLocal()), "RETURN")
	}
	take.add(notSYN(), queue...)
	take.add(syn().and(notToLocal()), "CT", "--zone", fmt.Sprint(in.Zone))
	if in.PortForwards {
		// The reader remembers where it was sent to and lets it go on.
		if in.Mode == Local {
			take.add(syn(), queue...)
		} else {
			take.add(syn().and(toLocal()), queue...)
		}
	}
	return t
}

// mangleTable marks what is forwarded, and takes what is marked.
func (in *Intercept) mangleTable(v6 bool) *table {
	t := &table{name: "mangle"}
	fwd := t.chain("FWD", "FORWARD")
	// A host that restores marks from conntrack may restore ours.
	fwd.add(in.marked(), in.clearMark()...)
	fwd.add(in.device(0), "RETURN")
	fwd.add(in.device(1), "RETURN")
	// First what comes most often.
	t.lead(fwd, notSYN(), in.fromServer(v6), in.setMark()...)
	t.lead(fwd, syn(), in.toServer(v6), in.setMark()...)
	// A server that calls the client on the tuple on which we call it: a
	// simultaneous open. To conntrack that is an answer.
	t.lead(fwd, answeringSYN(), in.fromServer(v6), in.setMark()...)
	for _, m := range icmpErrors(v6) {
		fwd.add(m, in.setMark()...)
	}
	if in.Loopback {
		in.noteSYN(t)
	}
	post := t.chain("POST", "POSTROUTING")
	post.add(in.marked("!"), "RETURN")
	// What is not ours after all goes on from the queue, without our mark.
	post.add(match{}, in.clearMark()...)
	bySource := in.queueChain(t, sourcePort, v6)
	byDestination := in.queueChain(t, destinationPort, v6)
	post.add(notSYN(), byDestination...)
	post.add(answeringSYN(), byDestination...)
	post.add(syn(), bySource...)
	post.add(match{}, in.queueTarget(0)...) // ICMP errors
	return t
}

// filterTable lets through what we send, which has passed the filter once
// already, and marks what the host itself sends. The mark is not set in
// mangle's OUTPUT, for that would have the packet routed again.
func (in *Intercept) filterTable(v6 bool) *table {
	t := &table{name: "filter"}
	in.pass(t)
	out := t.chain("OUT", "OUTPUT")
	out.add(in.marked(), in.clearMark()...)
	if in.Mode == Gateway {
		out.add(match{out: "lo"}, "RETURN")
	}
	// The host itself reports that what we sent does not fit the next link
	// or cannot be delivered. In local mode such a report goes from the host
	// to itself. But what the host's filter rejects is not ours: that answer
	// shares the conntrack entry of the packet it rejects, and the kernel
	// drops packets which share an unconfirmed entry when they are queued.
	out.add(unconfirmed(icmpProtocol(v6)), "RETURN")
	for _, m := range icmpErrors(v6) {
		out.add(m, in.setMark()...)
	}
	if in.Mode == Local {
		if in.Loopback {
			// What the host translates is not what the hints have named.
			out.add(syn().and(translated()).and(match{out: "lo"}), "RETURN")
		} else {
			out.add(match{out: "lo"}, "RETURN")
		}
		out.add(notSYN().and(unconfirmed("")), "RETURN")
		t.lead(out, syn(), in.toServer(v6), in.setMark()...)
		t.lead(out, notSYN(), in.fromServer(v6), in.setMark()...)
	}
	return t
}

// pass makes the filter's rules that let through what we send.
func (in *Intercept) pass(t *table) {
	fwd := t.chain("FWD", "FORWARD")
	fwd.add(in.device(0), "ACCEPT")
	fwd.add(in.device(1), "ACCEPT")
	if in.Mode == Local {
		own := t.chain("IN", "INPUT")
		own.add(in.device(0), "ACCEPT")
		own.add(in.device(1), "ACCEPT")
		if in.Loopback {
			own.add(in.toCaller().and(untracked()), "ACCEPT")
		}
	}
}

// inputTable takes what is for the host's own sockets.
func (in *Intercept) inputTable(v6 bool, name string) *table {
	t := &table{name: name}
	c := t.chain("IN", "INPUT")
	c.add(in.device(0), "RETURN")
	c.add(in.device(1), "RETURN")
	var bySource, byDestination []string
	if in.Mode == Local {
		bySource = in.queueChain(t, sourcePort, v6)
		byDestination = in.queueChain(t, destinationPort, v6)
	}
	if in.Loopback {
		in.takeRejections(t, c, v6, byDestination)
	}
	c.add(match{in: "lo"}, "RETURN")
	for _, m := range icmpErrors(v6) {
		// The address of a forwarded port is the host's own, so errors about
		// what we send to clients from there end here, in gateway mode too.
		c.add(m, in.queueTarget(0)...)
	}
	if in.Mode == Local {
		t.lead(c, syn(), in.toServer(v6), bySource...)
		t.lead(c, notSYN(), in.fromServer(v6), byDestination...)
	}
	return t
}
