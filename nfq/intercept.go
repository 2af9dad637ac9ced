package nfq

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// Mode says whose connections are taken.
type Mode uint8

// The modes.
const (
	Gateway Mode = iota // those that the host forwards
	Local               // these, and the host's own, both as a client and as a server
)

// Defaults of an Intercept, chosen to be unlike what others choose.
const (
	DefaultQueueBase = 29300
	DefaultZone      = 29300
	DefaultMark      = 0x08000000
)

const (
	// maxQueues bounds the shards.
	maxQueues = 64
	// maxHints bounds each list of networks, ports and interfaces: the
	// kernel walks them for every packet that is not ours.
	maxHints = 256
)

// PortRange is a run of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Intercept says which connections the firewall's rules lead to the queues.
// Empty lists mean all.
type Intercept struct {
	Mode       Mode
	Ports      []PortRange // of servers
	Servers    []netip.Prefix
	Clients    []netip.Prefix
	ClientSide []string // interfaces that clients are behind; gateway mode only

	// PortForwards takes connections to the host's own addresses too, since
	// the host may translate them to a server behind it. What then turns out
	// to be for the host itself goes on untouched, but has made the detour.
	PortForwards bool

	// Loopback takes the connections of the host with itself; local mode only.
	Loopback bool

	Queues    int    // shards, each with a queue
	QueueBase uint16 // the first queue's number
	// Bypass lets packets pass when nobody reads the queue; otherwise the
	// kernel drops them.
	Bypass bool

	// Zone is the conntrack zone in which clients' SYNs are judged.
	Zone uint16
	// Mark is the one bit of a packet's mark that says, from the filter to
	// POSTROUTING, that the packet is to be queued there.
	Mark uint32
	// TUNPrefix is that of TUNConfig.
	TUNPrefix string
}

// withDefaults fills in what was left zero.
func (in Intercept) withDefaults() Intercept {
	if in.Queues == 0 {
		in.Queues = 1
	}
	if in.QueueBase == 0 {
		in.QueueBase = DefaultQueueBase
	}
	if in.Zone == 0 {
		in.Zone = DefaultZone
	}
	if in.Mark == 0 {
		in.Mark = DefaultMark
	}
	if in.TUNPrefix == "" {
		in.TUNPrefix = DefaultTUNPrefix
	}
	return in
}

// check finds what no rules can be made of.
func (in *Intercept) check() error {
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if in.Queues < 1 || in.Queues > maxQueues {
		wrong("queues = %d: want 1 to %d", in.Queues, maxQueues)
	}
	if int(in.QueueBase)+in.Queues-1 > math.MaxUint16 {
		wrong("queue numbers %d and the %d after it: the last possible number is %d", in.QueueBase, in.Queues-1, math.MaxUint16)
	}
	if err := checkPrefix(in.TUNPrefix); err != nil {
		errs = append(errs, err)
	}
	for _, n := range []int{len(in.Ports), len(in.Servers), len(in.Clients), len(in.ClientSide)} {
		if n > maxHints {
			wrong("a list of %d ports, networks or interfaces: at most %d can be given", n, maxHints)
		}
	}
	for _, r := range in.Ports {
		if r.First > r.Last {
			wrong("ports %d-%d: the first is greater than the last", r.First, r.Last)
		}
	}
	for _, p := range append(append([]netip.Prefix(nil), in.Servers...), in.Clients...) {
		if !p.IsValid() || p.Addr().Is4In6() {
			wrong("network %v: want an IPv4 or IPv6 prefix", p)
		}
	}
	for _, name := range in.ClientSide {
		if name == "" || len(name) > 15 || strings.ContainsAny(name, "/! \t\n\"'") {
			wrong("client_side %q: want the name of an interface", name)
		}
	}
	if in.Mode == Local && len(in.ClientSide) > 0 {
		wrong("client_side = %v: in local mode the clients are this host's own; name interfaces only in gateway mode", in.ClientSide)
	}
	if in.Mode != Local && in.Loopback {
		wrong("connections of the host with itself are taken in local mode only")
	}
	return errors.Join(errs...)
}

// hinted tells whether packets to servers can be told from those of servers.
func (in *Intercept) hinted() bool {
	return len(in.Ports) > 0 || len(in.Servers) > 0 || len(in.Clients) > 0 || len(in.ClientSide) > 0
}

// family picks the networks of one family. It reports false if there were
// some, and none of this family: then nothing of this family is meant.
func family(ps []netip.Prefix, v6 bool) ([]netip.Prefix, bool) {
	var of []netip.Prefix
	for _, p := range ps {
		if p.Addr().Is6() == v6 {
			of = append(of, p.Masked())
		}
	}
	return of, len(of) > 0 || len(ps) == 0
}

// covers tells whether anything of a family is to be intercepted.
func (in *Intercept) covers(v6 bool) bool {
	_, s := family(in.Servers, v6)
	_, c := family(in.Clients, v6)
	return s && c
}
