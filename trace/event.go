package trace

import (
	"encoding/hex"
	"net/netip"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// The types of events.
const (
	TypeSegment = "segment" // one segment that a leg sent or got
	TypeFault   = "fault"   // one fault of a rule fired
	TypeClosed  = "closed"  // a connection is over
	TypeLost    = "lost"    // events are missing here: they came faster than they were read
)

// Event is one thing that happened, as `tcpmitm trace --json` and GET
// /v1/events print it, one object a line. docs/trace.md explains each field.
type Event struct {
	Type   string         `json:"type"`
	Time   time.Time      `json:"time"`
	NS     int64          `json:"ns"`
	Conn   uint64         `json:"conn,omitempty"`
	Client netip.AddrPort `json:"client,omitzero"`
	Server netip.AddrPort `json:"server,omitzero"`
	Rule   string         `json:"rule,omitempty"`
	Leg    string         `json:"leg,omitempty"`
	Dir    string         `json:"dir,omitempty"`

	Segment *Segment `json:"segment,omitempty"`
	State   *State   `json:"state,omitempty"`
	Note    string   `json:"note,omitempty"`
	ByRule  bool     `json:"by_rule,omitempty"` // the note is about what a rule did
	Reason  string   `json:"no_effect,omitempty"`
	Fault   *Fault   `json:"fault,omitempty"`
	Verdict *Verdict `json:"verdict,omitempty"`
	Lost    uint64   `json:"lost,omitempty"`
}

// Segment is what of a segment can be seen.
type Segment struct {
	Flags       []string        `json:"flags"`
	Seq         uint32          `json:"seq"`
	Ack         uint32          `json:"ack"`
	RelativeSeq uint32          `json:"relative_seq"`
	RelativeAck uint32          `json:"relative_ack"`
	Len         int             `json:"len"`
	Window      int             `json:"window"`
	Scale       uint8           `json:"window_shift"`
	Again       bool            `json:"again,omitempty"`
	Options     *SegmentOptions `json:"options,omitempty"`
	Header      Octets          `json:"header,omitempty"`
	Payload     Octets          `json:"payload,omitempty"`
}

// SegmentOptions are the options of a segment that tcpmitm understands.
type SegmentOptions struct {
	MSS           *uint16     `json:"mss,omitempty"`
	WindowScale   *uint8      `json:"window_scale,omitempty"`
	SACKPermitted bool        `json:"sack_permitted,omitempty"`
	TSVal         *uint32     `json:"ts_val,omitempty"`
	TSEcr         *uint32     `json:"ts_ecr,omitempty"`
	SACK          [][2]uint32 `json:"sack,omitempty"` // relative
}

// State is that of our endpoint on the leg, as ss(8) names it.
type State struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// Fault is a fault, or a stream policy, of a rule that fired.
type Fault struct {
	Index    int      `json:"index"`
	Stream   bool     `json:"stream,omitempty"`
	Text     string   `json:"text"`
	Do       string   `json:"do"`
	By       *float64 `json:"by_ms,omitempty"`
	N        int      `json:"n,omitempty"`
	Position uint64   `json:"position,omitempty"`
}

// Octets are written in hexadecimal.
type Octets []byte

// MarshalText implements encoding.TextMarshaler.
func (o Octets) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, o), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.AppendDecode(nil, text)
	return err
}

// has tells whether a segment has a flag.
func (s *Segment) has(flag string) bool {
	for _, f := range s.Flags {
		if f == flag {
			return true
		}
	}
	return false
}

// Begins tells the first segment of a connection: the client's SYN.
func (e *Event) Begins() bool {
	return e.Segment != nil && e.Leg == endpoint.Client.String() && !e.out() && e.Segment.has("SYN") && !e.Segment.Again
}

// out tells that tcpmitm sent, or was to send, the segment of an event.
func (e *Event) out() bool { return e.Dir == dirOut }

const dirIn, dirOut = "in", "out"

func direction(out bool) string {
	if out {
		return dirOut
	}
	return dirIn
}

// scribe turns what shards tell into events. epoch is the wall clock's reading
// at the shards' time 0.
type scribe struct{ epoch time.Time }

func (w *scribe) at(e *Event, at endpoint.Time) {
	e.NS, e.Time = int64(at), w.epoch.Add(time.Duration(at)).UTC()
}

func (w *scribe) segment(s *splice.SegmentEvent) *Event {
	e := &Event{
		Type: TypeSegment, Conn: s.Conn, Client: s.Client, Server: s.Server, Rule: s.Rule,
		Leg: s.Leg.String(), Dir: direction(s.Out), Note: s.Note, ByRule: s.ByRule(),
		State: &State{s.Before.SS(), s.After.SS()},
		Segment: &Segment{
			Flags: flagNames(s.Flags), Seq: uint32(s.Seq), Ack: uint32(s.Ack), Len: s.Len,
			Window: int(s.Window) << s.Scale, Scale: s.Scale, Again: s.Again,
		},
	}
	w.at(e, s.At)
	if s.Reason != endpoint.ReasonNone {
		e.Reason = s.Reason.String()
	}
	self, other := ends(s.Out, s.ISS, s.IRS)
	e.Segment.relate(s.Flags, self, other)
	e.Segment.Options = optionsOf(&s.Options, other)
	return e
}

// ends are the initial sequence numbers of a segment's sender and receiver.
func ends(out bool, iss, irs endpoint.Seq) (self, other endpoint.Seq) {
	if out {
		return iss, irs
	}
	return irs, iss
}

// relate makes the numbers relative to those of the SYNs. They are unsigned,
// because a leg may carry more than 2 GiB.
func (s *Segment) relate(f endpoint.Flags, self, other endpoint.Seq) {
	s.RelativeSeq = s.Seq - uint32(self)
	if f.Has(endpoint.ACK) {
		s.RelativeAck = s.Ack - uint32(other)
	}
}

func optionsOf(o *endpoint.Options, other endpoint.Seq) *SegmentOptions {
	if o.Has == 0 && o.SACKBlocks == 0 {
		return nil
	}
	out := &SegmentOptions{SACKPermitted: o.Has&endpoint.HasSACKPermitted != 0}
	if o.Has&endpoint.HasMSS != 0 {
		out.MSS = &o.MSS
	}
	if o.Has&endpoint.HasWindowScale != 0 {
		out.WindowScale = &o.WindowScale
	}
	if o.Has&endpoint.HasTimestamps != 0 {
		out.TSVal, out.TSEcr = &o.TSVal, &o.TSEcr
	}
	for _, r := range o.SACK[:min(int(o.SACKBlocks), len(o.SACK))] {
		out.SACK = append(out.SACK, [2]uint32{uint32(r.Start - other), uint32(r.End - other)})
	}
	return out
}

func (w *scribe) fault(f *splice.FaultEvent) *Event {
	e := &Event{
		Type: TypeFault, Conn: f.Conn, Client: f.Client, Server: f.Server, Rule: f.Rule,
		Leg: f.Leg.String(), Dir: direction(f.Out),
		Fault: &Fault{Index: f.Fault, Text: f.Text, Do: f.Do.String(), N: f.N},
	}
	w.at(e, f.At)
	if f.IsStream {
		e.Fault.Stream, e.Fault.Do, e.Fault.Position = true, f.Stream.String(), f.Position
	}
	if f.By != 0 {
		e.Fault.By = millis(f.By)
	}
	if f.HasSegment {
		self, other := ends(f.Out, f.ISS, f.IRS)
		e.Segment = &Segment{Flags: flagNames(f.Flags), Seq: uint32(f.Seq), Ack: uint32(f.Ack), Len: f.Len, Window: int(f.Window)}
		e.Segment.relate(f.Flags, self, other)
	}
	return e
}

// millis are milliseconds, or nil for what has not happened.
func millis(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	ms := float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// flagOrder is the order in which flags are named.
var flagOrder = [...]struct {
	flag endpoint.Flags
	name string
}{
	{endpoint.SYN, "SYN"}, {endpoint.FIN, "FIN"}, {endpoint.RST, "RST"}, {endpoint.PSH, "PSH"},
	{endpoint.ACK, "ACK"}, {endpoint.URG, "URG"}, {endpoint.ECE, "ECE"}, {endpoint.CWR, "CWR"},
}

func flagNames(f endpoint.Flags) []string {
	names := []string{}
	for _, n := range flagOrder {
		if f.Has(n.flag) {
			names = append(names, n.name)
		}
	}
	return names
}
