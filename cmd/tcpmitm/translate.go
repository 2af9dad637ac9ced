package main

import (
	"fmt"
	"runtime"
	"strings"

	"tcpmitm/config"
	"tcpmitm/control"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/splice"
)

// maxShards bounds the shards where their number follows from the cores.
const maxShards = 64

// interceptOf says to the kernel's edge what the configuration says.
func interceptOf(c *config.Intercept) nfq.Intercept {
	in := nfq.Intercept{
		Mode:         nfq.Gateway,
		Servers:      c.Servers,
		Clients:      c.Clients,
		ClientSide:   c.ClientSide,
		PortForwards: c.PortForwards,
		Loopback:     c.TakesLoopback(),
		Queues:       shardsOf(c),
		QueueBase:    uint16(c.QueueBase),
		Bypass:       c.WhenDown == config.Bypass,
		Zone:         uint16(c.Zone),
		Mark:         c.Mark,
		TUNPrefix:    c.TUNPrefix,
	}
	if c.Mode == config.Local {
		in.Mode = nfq.Local
	}
	for _, r := range c.Ports {
		in.Ports = append(in.Ports, nfq.PortRange(r))
	}
	return in
}

// shardsOf is the number of shards, each with a queue and a goroutine.
func shardsOf(c *config.Intercept) int {
	if c.Queues > 0 {
		return c.Queues
	}
	// Each packet costs the kernel more than it costs a reader, and with fewer
	// readers each finds more packets when it wakes up.
	return min((runtime.GOMAXPROCS(0)+1)/2, maxShards)
}

func modeName(m config.Mode) string {
	if m == config.Local {
		return "local"
	}
	return "gateway"
}

// listed writes a list for the log; none is what an empty one means.
func listed[T any](list []T, none string) string {
	if len(list) == 0 {
		return none
	}
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ",")
}

// endpointConfig is how both legs behave where no rule says otherwise.
//
// An endpoint by itself sends its SYN again for the 3 minutes of MUST-23; we,
// its user, give up by default after those 127 s after which the clients of
// most kernels have done so, for what is answered later is for nobody. And the
// endpoints answer the peers' own keep-alives, so nobody but us can find out
// that a silent peer is gone.
func endpointConfig(h *config.Handshake, t *config.Timeouts) endpoint.Config {
	c := endpoint.DefaultConfig()
	c.SYNRetries, c.SYNACKRetries = h.SYNRetries, h.SYNACKRetries
	c.MSL = t.TimeWait / 2
	c.R2 = t.UserTimeout
	c.KeepAlive = endpoint.KeepAlive{Idle: t.KeepAlive.Idle, Interval: t.KeepAlive.Interval, Count: t.KeepAlive.Count}
	return c
}

// budgetOf is what all shards together may have.
func budgetOf(l *config.Limits) *splice.Budget {
	return &splice.Budget{
		Connections: int64(l.Connections), HalfOpen: int64(l.HalfOpen),
		PerSource: int64(l.PerSource), HalfOpenPerSource: int64(l.HalfOpenPerSource),
	}
}

// patienceOf says when connections are given up that nobody ends.
func patienceOf(t *config.Timeouts) splice.Patience {
	return splice.Patience{Handshake: t.Handshake, Idle: t.Idle, HalfClosed: t.HalfClosed}
}

// What of the memory is not for buffers and connections, in octets.
const (
	// programOctets is what the program needs without any connection: its
	// runtime, tables of fixed size, and buffers that are kept for reuse.
	programOctets = 40 << 20
	// imageOctets is the part of it that is no heap: the program's own text.
	imageOctets = 16 << 20
)

// heldOctets is what of the limit all pools together may hold.
func heldOctets(l *config.Limits) int64 { return l.Memory - programOctets }

func cookiesOf(c config.SYNCookies) splice.CookieMode {
	switch c {
	case config.CookiesAlways:
		return splice.CookiesAlways
	case config.CookiesNever:
		return splice.CookiesNever
	}
	return splice.CookiesAuto
}

// limitsOf says to the control interface what the configuration says.
func limitsOf(c *config.Config) control.Limits {
	return control.Limits{
		Connections: int64(c.Limits.Connections), HalfOpen: int64(c.Limits.HalfOpen), Memory: c.Limits.Memory,
		OverLimit: c.Limits.OverLimit.String(), Cookies: c.Handshake.SYNCookies != config.CookiesNever,
	}
}

// edgeOf says what a port has counted in the words of the control interface.
func edgeOf(p *nfq.Port) control.Edge {
	c := p.Counters()
	return control.Edge{
		PacketsIn:     c.Queue.Packets,
		OctetsIn:      c.Queue.Octets,
		Accepted:      c.Queue.Accepted,
		Taken:         c.Queue.Dropped,
		Cut:           c.Queue.Cut,
		Overruns:      c.Queue.Overruns,
		VerdictErrors: c.Queue.VerdictErrors,
		PacketsOut:    c.Send.Packets,
		OctetsOut:     c.Send.Octets,
		LostOut:       c.Send.Lost,
		Reasons:       c.Reasons,
	}
}

// queuesOf says what the kernel says of the queues in the words of the control
// interface.
func queuesOf(f *nfq.Firewall) (out []control.Queue) {
	for _, q := range f.KernelQueues() {
		out = append(out, control.Queue{Number: int(q.Number), Waiting: q.Waiting, QueueFull: q.QueueFull, SocketFull: q.SocketFull})
	}
	return out
}
