package nfq

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// chainPrefix begins the names of our chains, by which a later run finds
	// and removes what a killed one left.
	chainPrefix = "TCPMITM-"
	// multiportSlots bounds the ports that one multiport match lists; a
	// range takes two (XT_MULTI_PORTS).
	multiportSlots = 15
)

// match is what a rule asks of a packet, in the order in which
// iptables-save prints it.
type match struct {
	src, dst, in, out, proto string
	more                     []string
}

// and is the match of both; where both say the same kind of thing, the other
// one's counts.
func (m match) and(o match) match {
	pick := func(a, b string) string {
		if b != "" {
			return b
		}
		return a
	}
	return match{
		src: pick(m.src, o.src), dst: pick(m.dst, o.dst), in: pick(m.in, o.in), out: pick(m.out, o.out),
		proto: pick(m.proto, o.proto), more: slices.Concat(m.more, o.more),
	}
}

// rule is a match and the target, with its options, of what matches.
type rule struct {
	match
	target []string
}

// args are the arguments that iptables takes and iptables-save prints. There is
// no comment among them: it would be looked at for every packet, and the names
// of the chains say whose they are.
func (r rule) args() []string {
	var a []string
	for _, o := range []struct{ flag, value string }{
		{"-s", r.src}, {"-d", r.dst}, {"-i", r.in}, {"-o", r.out}, {"-p", r.proto},
	} {
		if o.value != "" {
			a = append(a, o.flag, o.value)
		}
	}
	a = append(a, r.more...)
	return append(append(a, "-j"), r.target...)
}

type chain struct {
	name  string
	rules []rule
}

// jump leads from one of the kernel's chains to one of ours.
type jump struct{ hook, chain string }

func (j jump) rule() rule { return rule{target: []string{j.chain}} }

// table is what we put into one of iptables' tables.
type table struct {
	name   string
	jumps  []jump
	chains []*chain
}

// chain makes a chain of the table and leads a hook there; an empty hook
// leads nobody.
func (t *table) chain(name, hook string) *chain {
	c := &chain{name: chainPrefix + name}
	t.chains = append(t.chains, c)
	if hook != "" {
		t.jumps = append(t.jumps, jump{hook, c.name})
	}
	return c
}

func (c *chain) add(m match, target ...string) {
	c.rules = append(c.rules, rule{m, target})
}

// lead makes the rules that give a packet to the target if base matches and
// at least one alternative of each stage does. Stages with several
// alternatives get a chain each, so that the rules are as many as the
// alternatives and not as their combinations.
func (t *table) lead(c *chain, base match, stages [][]match, target ...string) {
	var several [][]match
	for _, s := range stages {
		if len(s) == 1 {
			base = base.and(s[0])
		} else if len(s) > 1 {
			several = append(several, s)
		}
	}
	if len(several) == 0 {
		c.add(base, target...)
		return
	}
	for i, stage := range several {
		to := target
		var next *chain
		if i < len(several)-1 {
			next = t.chain(fmt.Sprintf("%s-%d", strings.TrimPrefix(c.name, chainPrefix), len(t.chains)), "")
			to = []string{next.name}
		}
		for _, m := range stage {
			c.add(base.and(m), to...)
		}
		c, base = next, match{proto: base.proto}
	}
}

// toServer and fromServer are the stages by which packets of either
// direction are told.
func (in *Intercept) toServer(v6 bool) [][]match { return in.stages(v6, true) }

func (in *Intercept) fromServer(v6 bool) [][]match { return in.stages(v6, false) }

func (in *Intercept) stages(v6, toServer bool) [][]match {
	var side, clients, servers []match
	for _, name := range in.ClientSide {
		if toServer {
			side = append(side, match{in: name})
		} else {
			side = append(side, match{out: name})
		}
	}
	of, _ := family(in.Clients, v6)
	for _, p := range of {
		if toServer {
			clients = append(clients, match{src: p.String()})
		} else {
			clients = append(clients, match{dst: p.String()})
		}
	}
	of, _ = family(in.Servers, v6)
	for _, p := range of {
		if toServer {
			servers = append(servers, match{dst: p.String()})
		} else {
			servers = append(servers, match{src: p.String()})
		}
	}
	flag := "--sports"
	if toServer {
		flag = "--dports"
	}
	return [][]match{side, clients, servers, in.portMatches(flag)}
}

func (in *Intercept) portMatches(flag string) []match {
	var ms []match
	var list []string
	slots := 0
	flush := func() {
		if len(list) > 0 {
			ms = append(ms, match{more: []string{"-m", "multiport", flag, strings.Join(list, ",")}})
		}
		list, slots = nil, 0
	}
	for _, r := range in.Ports {
		text, n := strconv.Itoa(int(r.First)), 1
		if r.Last > r.First {
			text, n = fmt.Sprintf("%d:%d", r.First, r.Last), 2
		}
		if slots+n > multiportSlots {
			flush()
		}
		list, slots = append(list, text), slots+n
	}
	flush()
	return ms
}

// syn and notSYN tell the segments that open a connection from all others.
func syn() match {
	return match{proto: "tcp", more: []string{"-m", "tcp", "--tcp-flags", "FIN,SYN,RST,ACK", "SYN"}}
}

// answeringSYN tells a SYN that crosses another one on the same tuple.
func answeringSYN() match {
	return syn().and(match{more: []string{"-m", "conntrack", "--ctdir", "REPLY"}})
}

func notSYN() match {
	return match{proto: "tcp", more: []string{"-m", "tcp", "!", "--tcp-flags", "FIN,SYN,RST,ACK", "SYN"}}
}

// toLocal tells packets to the host's own addresses.
func toLocal() match { return match{more: []string{"-m", "addrtype", "--dst-type", "LOCAL"}} }

func notToLocal() match {
	return match{more: []string{"-m", "addrtype", "!", "--dst-type", "LOCAL"}}
}

// unconfirmed tells packets that belong to a connection of which no packet
// has passed the host yet.
func unconfirmed(protocol string) match {
	return match{proto: protocol, more: []string{"-m", "conntrack", "!", "--ctstatus", "CONFIRMED"}}
}

func icmpProtocol(v6 bool) string {
	if v6 {
		return "ipv6-icmp"
	}
	return "icmp"
}

// icmpErrors are the ICMP errors that say something about a connection.
func icmpErrors(v6 bool) []match {
	var ms []match
	if v6 {
		for _, t := range []int{icmpv6Unreachable, icmpv6TooBig, icmpv6TimeExceeded, icmpv6Parameter} {
			ms = append(ms, match{proto: icmpProtocol(v6), more: []string{"-m", "icmp6", "--icmpv6-type", strconv.Itoa(t)}})
		}
		return ms
	}
	for _, t := range []int{icmpUnreachable, icmpTimeExceeded, icmpParameter} {
		ms = append(ms, match{proto: icmpProtocol(v6), more: []string{"-m", "icmp", "--icmp-type", strconv.Itoa(t)}})
	}
	return ms
}
