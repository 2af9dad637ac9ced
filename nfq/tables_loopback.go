package nfq

import "fmt"

// The rules for connections of the host with itself. Both ends of one are
// here, so what either sends leaves by OUTPUT and POSTROUTING, and there it is
// taken: from the client as early as elsewhere, from the server as late. What
// we send arrives by PREROUTING and INPUT, where nothing of it is queued.
//
// So the filter judges a new connection in OUTPUT, as the client's, and in
// INPUT, as ours to the server; and conntrack knows the latter.

// toCaller tells what we send to clients over the loopback device. The kernel
// has no packet with our mark there: it is queued, or loses the mark.
func (in *Intercept) toCaller() match { return match{in: "lo"}.and(in.marked()) }

func untracked() match {
	return match{more: []string{"-m", "conntrack", "--ctstate", "UNTRACKED"}}
}

// translated tells packets of connections whose destination the host has
// changed.
func translated() match {
	return match{more: []string{"-m", "conntrack", "--ctstate", "DNAT"}}
}

// natTable keeps the host from translating what we send to a server here: the
// client's SYN has met its rules in OUTPUT. What is the host's own and comes
// by the loopback device never meets these chains.
func (in *Intercept) natTable() *table {
	t := &table{name: "nat"}
	t.chain("PRE", "PREROUTING").add(match{in: "lo"}, "ACCEPT")
	t.chain("IN", "INPUT").add(match{in: "lo"}, "ACCEPT")
	return t
}

// noteSYN marks the conntrack entry of a SYN of ours to a server here, until
// the filter has let it pass: by that a rejection of it is told from one of a
// client's SYN in OUTPUT. A SYN of the host's own comes here with an entry
// that is confirmed.
func (in *Intercept) noteSYN(t *table) {
	t.chain("PRE", "PREROUTING").add(in.newHere(), in.connmark(in.Mark)...)
}

func (in *Intercept) newHere() match { return match{in: "lo"}.and(syn()).and(unconfirmed("")) }

func (in *Intercept) connmark(to uint32) []string {
	return []string{"CONNMARK", "--set-xmark", fmt.Sprintf("0x%x/0x%x", to, in.Mark)}
}

// takeRejections takes what the host's filter answers in INPUT to a SYN of
// ours to a server here. It cannot be taken on its way out, for there it
// shares the conntrack entry of the SYN, which is still on the stack. For the
// same reason what the filter answers in OUTPUT to a client's SYN cannot be
// taken at all, nor need it be.
func (in *Intercept) takeRejections(t *table, c *chain, v6 bool, queue []string) {
	ours := unconfirmed("").and(match{in: "lo", more: []string{"-m", "connmark", "--mark", fmt.Sprintf("0x%x/0x%x", in.Mark, in.Mark)}})
	c.add(in.newHere(), in.connmark(0)...)
	reset := match{proto: "tcp", more: []string{"-m", "tcp", "--tcp-flags", "RST", "RST"}}
	t.lead(c, reset.and(ours), in.fromServer(v6), queue...)
	for _, m := range icmpErrors(v6) {
		c.add(m.and(ours), in.queueTarget(0)...)
	}
}
