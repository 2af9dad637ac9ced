package config

import (
	"fmt"
	"log/slog"
	"math"
	"math/bits"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tcpmitm/rules"
)

// Bounds of the values.
const (
	maxQueues       = 64
	maxHints        = 256 // networks, ports and interfaces: the kernel walks them
	maxConnections  = 10_000_000
	minMemoryOctets = 64 << 20
	maxMemoryOctets = 1 << 40
	maxDrain        = time.Hour
	minPatience     = time.Second
	maxHandshake    = 10 * time.Minute
	maxPatience     = 7 * 24 * time.Hour
	maxGuard        = 24 * time.Hour
	maxInterfaceLen = 15  // IFNAMSIZ without its final zero
	maxSocketLen    = 107 // sun_path without its final zero
)

var (
	modes     = []choice[Mode]{{"gateway", Gateway}, {"local", Local}}
	whenDowns = []choice[WhenDown]{{"bypass", Bypass}, {"block", Block}}
	orders    = []choice[rules.Order]{{"server-first", rules.ServerFirst}, {"client-first", rules.ClientFirst}}
	loopbacks = []choice[Loopback]{{"auto", LoopbackAuto}, {"always", LoopbackAlways}, {"never", LoopbackNever}}
	cookies   = []choice[SYNCookies]{{"auto", CookiesAuto}, {"always", CookiesAlways}, {"never", CookiesNever}}
	overLimit = []choice[rules.Action]{{"pass", rules.Pass}, {"reset", rules.Reset}, {"drop", rules.Drop}}
	levels    = []choice[slog.Level]{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}
	formats   = []choice[Format]{{"text", Text}, {"json", JSON}}
)

// config reads the whole file into c, which holds the defaults.
func (r *reader) config(tree map[string]any, c *Config) {
	root := &table{reader: r, name: "the file", values: tree}
	if t := root.sub("intercept", "[intercept]"); t != nil {
		t.intercept(&c.Intercept)
	}
	if t := root.sub("handshake", "[handshake]"); t != nil {
		oneOf(t, "order", &c.Handshake.Order, orders)
		oneOf(t, "syn_cookies", &c.Handshake.SYNCookies, cookies)
		whole(t, "syn_retries", &c.Handshake.SYNRetries, 0, maxSYNRetries)
		whole(t, "syn_ack_retries", &c.Handshake.SYNACKRetries, 0, maxSYNRetries)
		t.done()
	}
	if t := root.sub("limits", "[limits]"); t != nil {
		whole(t, "connections", &c.Limits.Connections, 1, maxConnections)
		whole(t, "half_open", &c.Limits.HalfOpen, 1, maxConnections)
		size(t, "memory", &c.Limits.Memory, minMemoryOctets, maxMemoryOctets)
		whole(t, "per_source", &c.Limits.PerSource, 0, maxConnections)
		whole(t, "half_open_per_source", &c.Limits.HalfOpenPerSource, 0, maxConnections)
		oneOf(t, "over_limit", &c.Limits.OverLimit, overLimit)
		t.done()
	}
	if t := root.sub("timeouts", "[timeouts]"); t != nil {
		t.timeouts(&c.Timeouts)
	}
	if t := root.sub("control", "[control]"); t != nil {
		t.control(&c.Control)
	}
	if t := root.sub("log", "[log]"); t != nil {
		oneOf(t, "level", &c.Log.Level, levels)
		oneOf(t, "format", &c.Log.Format, formats)
		t.done()
	}
	if t := root.sub("journal", "[journal]"); t != nil {
		t.journal(&c.Journal)
	}
	list, source := root.rules()
	c.Rules, c.Source = rules.New(list), source
	root.done()
}

func (t *table) intercept(c *Intercept) {
	oneOf(t, "mode", &c.Mode, modes)
	t.ports("ports", &c.Ports, maxHints)
	t.networks("servers", &c.Servers, maxHints)
	t.networks("clients", &c.Clients, maxHints)
	elements(t, "client_side", `["lan0"]`, &c.ClientSide, maxHints, parseInterface)
	if c.Mode == Local && len(c.ClientSide) > 0 {
		t.wrong("client_side", `with mode = "local" the clients are on this host: leave client_side out, or set mode = "gateway"`)
	}
	oneOf(t, "loopback", &c.Loopback, loopbacks)
	if c.Mode == Gateway && c.Loopback == LoopbackAlways {
		t.wrong("loopback", `with mode = "gateway" the host's own connections are left alone: set mode = "local", or leave loopback out`)
	}
	whole(t, "queues", &c.Queues, 0, maxQueues)
	oneOf(t, "when_down", &c.WhenDown, whenDowns)
	t.boolean("port_forwards", &c.PortForwards)
	whole(t, "queue_base", &c.QueueBase, 0, math.MaxUint16)
	if c.QueueBase+max(c.Queues, 1) > math.MaxUint16+1 {
		t.wrong("queue_base", "%d with %d queues goes beyond the last queue, 65535: choose a lower one", c.QueueBase, c.Queues)
	}
	t.tunPrefix(&c.TUNPrefix)
	whole(t, "mark", &c.Mark, 1, math.MaxUint32)
	if bits.OnesCount32(c.Mark) != 1 {
		t.wrong("mark", "0x%x has %d bits set: must have one, for example 0x08000000", c.Mark, bits.OnesCount32(c.Mark))
	}
	whole(t, "zone", &c.Zone, 1, math.MaxUint16)
	t.duration("drain", &c.Drain, 0, maxDrain)
	t.guard(&c.Guard)
	t.done()
}

// timeouts reads how long things may last. A time of 0 switches off what ends
// connections.
func (t *table) timeouts(c *Timeouts) {
	t.orNever("handshake", &c.Handshake, minPatience, maxHandshake)
	t.orNever("idle", &c.Idle, minPatience, maxPatience)
	t.orNever("half_closed", &c.HalfClosed, minPatience, maxPatience)
	t.duration("time_wait", &c.TimeWait, 0, maxTimeWait)
	t.duration("user_timeout", &c.UserTimeout, minUserTimeout, maxUserTimeout)
	k := rules.Some(c.KeepAlive)
	t.keepAlive(&k)
	c.KeepAlive = k.Value
	t.done()
}

// orNever reads a time of which 0 is never.
func (t *table) orNever(key string, into *time.Duration, least, most time.Duration) {
	var d time.Duration
	if !t.duration(key, &d, 0, most) {
		return
	}
	if d > 0 && d < least {
		t.wrong(key, "%q is out of range: must be \"0s\", which is never, or from %v to %v", short(d), short(least), short(most))
		return
	}
	*into = d
}

func (t *table) guard(into *time.Duration) {
	for word, wait := range map[string]time.Duration{"auto": GuardAuto, "never": GuardNever} {
		if t.values["guard"] == word {
			t.get("guard")
			*into = wait
			return
		}
	}
	t.duration("guard", into, 0, maxGuard)
}

func (t *table) tunPrefix(into *string) {
	name, ok := typed[string](t, "tun_prefix", `a name in quotes, for example "mitm"`)
	if !ok {
		return
	}
	// The devices are called prefix-c and prefix-s.
	if wrong := interfaceName(name); wrong != "" || len(name) > maxInterfaceLen-2 {
		t.wrong("tun_prefix", "%q cannot begin the name of a network device: must be 1 to %d letters, digits, '.', '_' or '-'",
			name, maxInterfaceLen-2)
		return
	}
	*into = name
}

func (t *table) control(c *Control) {
	const example = `the path of a socket in quotes, for example "/run/tcpmitm/control.sock"`
	if path, ok := typed[string](t, "socket", example); ok {
		switch {
		case path == "":
			t.wrong("socket", "is empty: must be %s", example)
		case !filepath.IsAbs(path):
			t.wrong("socket", "%q does not begin with a slash: must be %s", path, example)
		case len(path) > maxSocketLen:
			t.wrong("socket", "is %d octets long, of which the kernel takes %d", len(path), maxSocketLen)
		default:
			c.Socket = path
		}
	}
	if address, ok := typed[string](t, "metrics", `an address and a port in quotes, for example "127.0.0.1:9380"`); ok && address != "" {
		if wrong := listenAddress(address); wrong != "" {
			t.wrong("metrics", "%s", wrong)
		} else {
			c.Metrics = address
		}
	}
	t.done()
}

func listenAddress(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Sprintf(`%q is no address with a port: write it as "127.0.0.1:9380" or "[::1]:9380"`, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("%q has no port from 1 to 65535 behind its last colon", address)
	}
	return ""
}

func parseInterface(v any) (string, string) {
	name, ok := v.(string)
	if !ok {
		return "", `must be the name of a network device in quotes, for example "lan0", not ` + kind(v)
	}
	return name, interfaceName(name)
}

// interfaceName returns what is wrong with the name of a network device. It
// is stricter than the kernel, because names end up in firewall rules.
func interfaceName(name string) string {
	const legal = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if name == "" || len(name) > maxInterfaceLen || name[0] == '-' || name == "." || name == ".." ||
		strings.Trim(name, legal) != "" {
		return fmt.Sprintf("%q is no name of a network device: must be 1 to %d letters and digits, as `ip link` shows it", name, maxInterfaceLen)
	}
	return ""
}
