package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"tcpmitm/config"
	"tcpmitm/control"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/splice"
)

// maxShards bounds the shards where there is one a core.
const maxShards = 64

// interceptOf says to the kernel's edge what the configuration says.
func interceptOf(c *config.Intercept) nfq.Intercept {
	in := nfq.Intercept{
		Mode:         nfq.Gateway,
		Servers:      c.Servers,
		Clients:      c.Clients,
		ClientSide:   c.ClientSide,
		PortForwards: c.PortForwards,
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
	return min(runtime.GOMAXPROCS(0), maxShards)
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

// Keep-alive of both legs. The endpoints answer the peers' own probes, so
// nobody but us can find out that a silent peer is gone: without this its
// connection would stay for ever. The times are those of Linux.
const (
	keepAliveIdle     = 2 * time.Hour // MUST-28
	keepAliveInterval = 75 * time.Second
	keepAliveCount    = 9
)

// dialRetries is how often the SYN to a server is sent again. An endpoint by
// itself goes on for the 3 minutes of MUST-23; we, its user, give up after
// those 127 s after which the clients of most kernels have done so, for what is
// answered later is for nobody.
const dialRetries = 6

// endpointConfig is how both legs behave where no rule says otherwise.
func endpointConfig() endpoint.Config {
	c := endpoint.DefaultConfig()
	c.SYNRetries = dialRetries
	c.KeepAlive = endpoint.KeepAlive{Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}
	return c
}

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
