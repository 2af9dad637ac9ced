package config

import (
	"log/slog"
	"net/netip"
	"time"

	"tcpmitm/rules"
)

// Config is what the program does. The tags are the keys of config.toml.
type Config struct {
	Intercept Intercept `toml:"intercept"`
	Handshake Handshake `toml:"handshake"`
	Limits    Limits    `toml:"limits"`
	Timeouts  Timeouts  `toml:"timeouts"`
	Control   Control   `toml:"control"`
	Log       Log       `toml:"log"`
	Journal   Journal   `toml:"journal"`

	// Rules are the [[rule]] tables, compiled. It is never nil.
	Rules *rules.Set
	// Source are these tables as they were written, in the same order; see
	// Change.
	Source []map[string]any
}

// Mode says whose connections are intercepted.
type Mode uint8

// The modes.
const (
	Gateway Mode = iota // connections that this host forwards
	Local               // these, and this host's own
)

// Loopback says whether connections of this host with itself are taken.
type Loopback uint8

// The choices for connections of this host with itself.
const (
	LoopbackAuto Loopback = iota // if ports or networks say which
	LoopbackAlways
	LoopbackNever
)

// WhenDown says what becomes of new connections while tcpmitm is away.
type WhenDown uint8

// The choices while tcpmitm is away.
const (
	Bypass WhenDown = iota
	Block
)

// Intercept says which connections are taken, and with what of the kernel.
type Intercept struct {
	Mode       Mode              `toml:"mode"`
	Ports      []rules.PortRange `toml:"ports"` // server ports; none: all
	Servers    []netip.Prefix    `toml:"servers"`
	Clients    []netip.Prefix    `toml:"clients"`
	ClientSide []string          `toml:"client_side"` // interfaces
	Loopback   Loopback          `toml:"loopback"`
	Queues     int               `toml:"queues"` // 0: one for every two cores
	WhenDown   WhenDown          `toml:"when_down"`

	// PortForwards takes connections to the host's own addresses too, since
	// the host may translate them to a server behind it.
	PortForwards bool `toml:"port_forwards"`

	QueueBase int           `toml:"queue_base"` // number of the first NFQUEUE
	TUNPrefix string        `toml:"tun_prefix"`
	Mark      uint32        `toml:"mark"` // the bit of the packet mark that is ours
	Zone      int           `toml:"zone"` // of connection tracking
	Drain     time.Duration `toml:"drain"`
	Guard     time.Duration `toml:"guard"` // after a crash; also GuardAuto and GuardNever
}

// What Guard may be, beside a time: by when_down, and never.
const (
	GuardAuto  time.Duration = -1
	GuardNever time.Duration = -2
)

// guardPatience is how long a guard waits for a restart where nothing else is
// said: longer than a service manager takes.
const guardPatience = 5 * time.Second

// GuardWait is how long the guard waits, after a crash, for another start until
// it removes the rules; forever tells that it never does.
func (i *Intercept) GuardWait() (wait time.Duration, forever bool) {
	switch {
	case i.Guard >= 0:
		return i.Guard, false
	case i.Guard == GuardNever || i.WhenDown == Block:
		return 0, true
	}
	return guardPatience, false
}

// Hinted tells whether anything but chance says which end of a packet is the
// server. Without a hint a server's packets are queued twice.
func (i *Intercept) Hinted() bool {
	return len(i.Ports) > 0 || len(i.Servers) > 0 || len(i.Clients) > 0 || len(i.ClientSide) > 0
}

// TakesLoopback tells whether connections of the host with itself are taken.
func (i *Intercept) TakesLoopback() bool {
	switch {
	case i.Mode != Local || i.Loopback == LoopbackNever:
		return false
	case i.Loopback == LoopbackAlways:
		return true
	}
	return i.Hinted()
}

// SYNCookies says when handshakes are kept in the sequence number alone.
type SYNCookies uint8

// The choices for SYN cookies.
const (
	CookiesAuto SYNCookies = iota // from the half-open limit on
	CookiesAlways
	CookiesNever
)

// Handshake says how connections are opened.
type Handshake struct {
	Order      rules.Order `toml:"order"`
	SYNCookies SYNCookies  `toml:"syn_cookies"`
	// Retransmissions of a SYN towards a server, and of a SYN-ACK towards a
	// client.
	SYNRetries    int `toml:"syn_retries"`
	SYNACKRetries int `toml:"syn_ack_retries"`
}

// Limits bound what tcpmitm holds.
type Limits struct {
	Connections int          `toml:"connections"`
	HalfOpen    int          `toml:"half_open"`
	Memory      int64        `toml:"memory"` // octets
	OverLimit   rules.Action `toml:"over_limit"`
	// The same of one source: an IPv4 address or an IPv6 /64; 0 is none.
	PerSource         int `toml:"per_source"`
	HalfOpenPerSource int `toml:"half_open_per_source"`
}

// Timeouts say how long things may last where no rule says otherwise; 0 is for
// ever, but of TimeWait.
type Timeouts struct {
	Handshake   time.Duration   `toml:"handshake"`
	Idle        time.Duration   `toml:"idle"`
	HalfClosed  time.Duration   `toml:"half_closed"`
	TimeWait    time.Duration   `toml:"time_wait"` // all of it, 2 MSL
	UserTimeout time.Duration   `toml:"user_timeout"`
	KeepAlive   rules.KeepAlive `toml:"keep_alive"`
}

// Control says where tcpmitm answers questions.
type Control struct {
	Socket  string `toml:"socket"`
	Metrics string `toml:"metrics"` // host:port; empty: off
}

// Format is that of the log.
type Format uint8

// The formats.
const (
	Text Format = iota
	JSON
)

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `toml:"level"`
	Format Format     `toml:"format"`
}

// Default is what an empty file means.
func Default() *Config {
	return &Config{
		Intercept: Intercept{
			Mode:         Gateway,
			WhenDown:     Bypass,
			PortForwards: true,
			QueueBase:    29300,
			TUNPrefix:    "mitm",
			Mark:         0x08000000,
			Zone:         29300,
			Drain:        0,
			Guard:        GuardAuto,
		},
		Handshake: Handshake{Order: rules.ServerFirst, SYNCookies: CookiesAuto, SYNRetries: 6, SYNACKRetries: 6},
		Limits:    Limits{Connections: 100000, HalfOpen: 4096, Memory: 1 << 30, OverLimit: rules.Pass},
		Timeouts: Timeouts{
			Handshake:   130 * time.Second,
			TimeWait:    time.Minute,
			UserTimeout: 15 * time.Minute,
			// Those of Linux; MUST-28.
			KeepAlive: rules.KeepAlive{Idle: 2 * time.Hour, Interval: probeInterval, Count: probeCount},
		},
		Control: Control{Socket: "/run/tcpmitm/control.sock"},
		Log:     Log{Level: slog.LevelInfo, Format: Text},
		Journal: Journal{Size: 64 << 20, Keep: 4},
		Rules:   rules.New(nil),
	}
}
