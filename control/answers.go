package control

import (
	"net/netip"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// Connections answers GET /v1/connections.
type Connections struct {
	// Total is how many there are; List may hold fewer, see ?limit=.
	Total int          `json:"total"`
	List  []Connection `json:"connections"`
}

// Connection is one spliced connection.
type Connection struct {
	Conn     uint64         `json:"conn"`
	Client   netip.AddrPort `json:"client"`
	Server   netip.AddrPort `json:"server"`          // as the client addressed it
	Target   netip.AddrPort `json:"target"`          // after the host's translation
	Rule     string         `json:"rule"`            // empty: none matched
	Age      float64        `json:"age_seconds"`     // since its first SYN
	Over     bool           `json:"over"`            // nothing is left of it but TIME-WAIT
	ToServer uint64         `json:"bytes_to_server"` // that the server has acknowledged
	ToClient uint64         `json:"bytes_to_client"` // that the client has acknowledged
	Fired    uint64         `json:"fired"`           // how often faults and policies of the rule have acted

	ClientLeg Leg `json:"client_leg"`
	ServerLeg Leg `json:"server_leg"`
}

// Leg is our endpoint on one side of a connection.
type Leg struct {
	State  string `json:"state"`  // as ss(8) names it
	Queued int    `json:"queued"` // octets that wait for the peer's acknowledgement
	Unread int    `json:"unread"` // octets of the peer that the other leg has no room for yet
	ISS    uint32 `json:"iss"`
	IRS    uint32 `json:"irs"`
	Info   Info   `json:"info"`
}

// Info is what ss(8) -i would show of a leg.
type Info struct {
	trace.LegVerdict
	SendWindow    int   `json:"send_window"`    // what the peer offers now, octets
	ReceiveWindow int   `json:"receive_window"` // what we offer now, octets
	SendShift     uint8 `json:"send_window_shift"`
	ReceiveShift  uint8 `json:"receive_window_shift"`
	OutOfOrder    int   `json:"out_of_order"` // octets behind a hole
}

func infoOf(l *splice.LegStatus) Info {
	v := l.LegVerdict
	v.State = l.State
	return Info{
		LegVerdict: trace.NewLegVerdict(&v),
		SendWindow: v.SndWnd, ReceiveWindow: v.RcvWnd, SendShift: v.SndScale, ReceiveShift: v.RcvScale, OutOfOrder: v.OutOfOrder,
	}
}

func connectionOf(c *splice.Connection) Connection {
	return Connection{
		Conn: c.Conn, Client: c.Client, Server: c.Server, Target: c.Target, Rule: c.Rule,
		Age: c.Age.Seconds(), Over: c.Lingering, Fired: c.Fired,
		ToServer: c.Legs[endpoint.Server].Delivered, ToClient: c.Legs[endpoint.Client].Delivered,
		ClientLeg: legOf(&c.Legs[endpoint.Client]), ServerLeg: legOf(&c.Legs[endpoint.Server]),
	}
}

func legOf(l *splice.LegStatus) Leg {
	state := l.State.SS()
	if l.Vanished {
		state = "VANISHED" // by a rule: it neither sends nor answers
	}
	return Leg{State: state, Queued: l.Queued, Unread: l.Unread, ISS: uint32(l.ISS), IRS: uint32(l.IRS), Info: infoOf(l)}
}

// Counters answers GET /v1/counters.
type Counters struct {
	Version       string  `json:"version"`
	UptimeSeconds float64 `json:"uptime_seconds"`
	Shards        int     `json:"shards"`
	Goroutines    int     `json:"goroutines"`

	// What there is now.
	Connections  int   `json:"connections"`   // being opened, open, being closed
	HalfOpen     int   `json:"half_open"`     // of these, with handshakes in progress
	Lingering    int   `json:"lingering"`     // over but for TIME-WAIT
	Timers       int   `json:"timers"`        // connections with an armed timer
	Held         int   `json:"held"`          // segments that a rule holds back on arrival
	BufferOctets int64 `json:"buffer_octets"` // in use

	// What there was.
	Opened          uint64      `json:"opened"`
	Closed          uint64      `json:"closed"`
	Refused         uint64      `json:"refused"` // by the server
	Killed          uint64      `json:"killed"`  // by operators
	Passed          uint64      `json:"passed"`  // SYNs that went past us
	Reset           uint64      `json:"reset"`   // SYNs that we answered with RST
	Dropped         uint64      `json:"dropped"` // SYNs that we did not answer
	CookiesSent     uint64      `json:"cookies_sent"`
	CookiesAccepted uint64      `json:"cookies_accepted"`
	ToServer        LegCount    `json:"server_leg"`
	ToClient        LegCount    `json:"client_leg"`
	BetweenShards   uint64      `json:"between_shards"` // packets that came to the wrong shard
	NotHeld         uint64      `json:"not_held"`       // segments that a rule should have held, for lack of room
	SendErrors      uint64      `json:"send_errors"`
	TraceLost       uint64      `json:"trace_lost"`      // events that no ladder or trace shows
	Traces          int         `json:"traces"`          // readers of events that are attached
	EndsNotLogged   uint64      `json:"ends_not_logged"` // connections whose end was not logged
	Rules           []RuleCount `json:"rules"`
	Edge            Edge        `json:"edge"`
	Queues          []Queue     `json:"queues"` // as the kernel counts

	ends   splice.Ends // for the metrics, as are these:
	legs   [2]splice.LegCounters
	states splice.States

	// Drops counts packets that changed nothing, by reason; reasons that
	// never occurred are there too.
	Drops map[string]uint64 `json:"drops"`
}

// LegCount is what the legs of one kind have carried.
type LegCount struct {
	Octets      uint64 `json:"octets"` // handed on towards the peers
	SegmentsIn  uint64 `json:"segments_in"`
	SegmentsOut uint64 `json:"segments_out"`
}

// Queue is what the kernel says of one NFQUEUE.
type Queue struct {
	Number     int    `json:"number"`
	Waiting    uint64 `json:"waiting"`     // packets without a verdict now
	QueueFull  uint64 `json:"queue_full"`  // packets that found the queue full
	SocketFull uint64 `json:"socket_full"` // packets that found the socket's buffer full
}

// RuleCount is how often a rule was asked and decided.
type RuleCount struct {
	Name    string `json:"name"`
	Action  string `json:"action"`
	Reached uint64 `json:"reached"` // connections whose addresses and ports matched
	Taken   uint64 `json:"taken"`   // of these, decided by the rule
}

func countersOf(c *splice.Counters, e *Edge) *Counters {
	out := &Counters{
		Connections: c.Flows, HalfOpen: c.HalfOpen, Lingering: c.Lingering, Timers: c.Timers, Held: c.InWire,
		BufferOctets: c.PoolInUse,
		Opened:       c.Opened, Closed: c.Closed, Refused: c.Refused, Killed: c.Killed,
		Passed: c.Passed, Reset: c.Reset, Dropped: c.Dropped,
		CookiesSent: c.CookiesSent, CookiesAccepted: c.CookiesAccepted,
		ToServer: legCount(c, endpoint.Server), ToClient: legCount(c, endpoint.Client),
		BetweenShards: c.ForeignOut, NotHeld: c.WireFull, SendErrors: c.SendErrors,
		Rules: []RuleCount{}, Edge: *e, Queues: []Queue{}, ends: c.Ends, legs: c.Legs, states: c.States, Drops: map[string]uint64{},
	}
	for r := endpoint.ReasonNone + 1; r < endpoint.NumReasons; r++ {
		out.Drops[r.String()] = c.Reasons[r] + e.Reasons[r]
	}
	return out
}

func legCount(c *splice.Counters, l endpoint.Leg) LegCount {
	return LegCount{Octets: c.Octets[l], SegmentsIn: c.SegmentsIn[l], SegmentsOut: c.SegmentsOut[l]}
}
