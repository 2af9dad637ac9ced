package trace

import (
	"fmt"
	"strings"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// Verdict is what there is to say of a connection that is over.
type Verdict struct {
	Seconds  float64    `json:"seconds"`
	ToServer uint64     `json:"bytes_to_server"`
	ToClient uint64     `json:"bytes_to_client"`
	ClosedBy string     `json:"closed_by"`
	How      string     `json:"how"`
	Fault    string     `json:"ended_by_fault,omitempty"`
	Fired    []Fired    `json:"fired,omitempty"`
	Client   LegVerdict `json:"client_leg"`
	Server   LegVerdict `json:"server_leg"`
}

// Fired is how often a fault, or a stream policy, of the connection's rule has
// acted on it.
type Fired struct {
	Index  int    `json:"index"`
	Stream bool   `json:"stream,omitempty"`
	Text   string `json:"text"`
	Count  uint32 `json:"count"`
}

// LegVerdict is the part of one leg. What has not happened is left out.
type LegVerdict struct {
	State       string   `json:"state"`
	Code        string   `json:"code,omitempty"`
	SYNToSYNACK *float64 `json:"syn_to_syn_ack_ms,omitempty"`
	Handshake   *float64 `json:"handshake_ms,omitempty"`
	FirstByte   *float64 `json:"first_byte_ms,omitempty"`
	FINToACK    *float64 `json:"fin_to_ack_ms,omitempty"`
	HalfClosed  *float64 `json:"half_closed_ms,omitempty"`

	RTT             *float64 `json:"rtt_ms,omitempty"`
	RTTVar          *float64 `json:"rtt_var_ms,omitempty"`
	MinRTT          *float64 `json:"min_rtt_ms,omitempty"`
	RTO             *float64 `json:"rto_ms,omitempty"`
	MSS             int      `json:"mss"`
	Cwnd            int      `json:"cwnd"`
	Ssthresh        int      `json:"ssthresh"`
	SegmentsIn      uint64   `json:"segments_in"`
	SegmentsOut     uint64   `json:"segments_out"`
	OctetsIn        uint64   `json:"octets_in"`
	OctetsOut       uint64   `json:"octets_out"`
	Retransmits     uint32   `json:"retransmits"`
	Timeouts        uint32   `json:"timeouts"`
	FastRecoveries  uint32   `json:"fast_recoveries"`
	PeerRetransmits uint32   `json:"peer_retransmits"`
	DupACKsIn       uint32   `json:"dup_acks_in"`
	DataAfterFIN    uint16   `json:"data_after_fin"`
	PeerWindow      *Span    `json:"peer_window,omitempty"`
	OurWindow       *Span    `json:"our_window,omitempty"`
	SACK            bool     `json:"sack"`
	Timestamps      bool     `json:"timestamps"`
	ECN             bool     `json:"ecn"`
}

// Span is the smallest and the largest value that was seen, in octets.
type Span struct {
	Min int32 `json:"min"`
	Max int32 `json:"max"`
}

// NewLegVerdict puts the verdict on a leg into words.
func NewLegVerdict(v *splice.LegVerdict) LegVerdict {
	out := LegVerdict{
		State: v.State.SS(), Code: v.Code.String(),
		SYNToSYNACK: millis(v.SYNToSYNACK), Handshake: millis(v.Handshake), FirstByte: millis(v.FirstByte),
		FINToACK: millis(v.FINToACK), HalfClosed: millis(v.HalfClosed),
		RTT: measured(v.SRTT), RTTVar: measured(v.RTTVar), MinRTT: measured(v.MinRTT), RTO: measured(v.RTO),
		MSS: v.MSS, Cwnd: v.Cwnd, Ssthresh: v.Ssthresh,
		SegmentsIn: v.SegmentsIn, SegmentsOut: v.SegmentsOut, OctetsIn: v.OctetsIn, OctetsOut: v.OctetsOut,
		Retransmits: v.Retransmits, Timeouts: v.Timeouts, FastRecoveries: v.FastRecoveries,
		PeerRetransmits: v.PeerRetransmits, DupACKsIn: v.DupACKsIn, DataAfterFIN: v.DataAfterFIN,
		SACK: v.SACK, Timestamps: v.Timestamps, ECN: v.ECN,
		PeerWindow: spanOf(v.WindowIn), OurWindow: spanOf(v.WindowOut),
	}
	return out
}

func measured(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	return millis(d)
}

func spanOf(s splice.Span) *Span {
	if !s.Seen {
		return nil
	}
	return &Span{s.Min, s.Max}
}

var howNames = map[splice.How]string{
	splice.ByFIN:         "FIN",
	splice.ByReset:       "RST",
	splice.ByTimeout:     "timeout",
	splice.ByRule:        "rule",
	splice.ByRefusal:     "refused",
	splice.ByUnreachable: "unreachable",
	splice.ByShutdown:    "shutdown",
	splice.ByOperator:    "operator",
}

// HowName is how logs and metrics call the way in which a connection's
// closing began.
func HowName(h splice.How) string { return how(h) }

// how names the way in which a connection's closing began.
func how(h splice.How) string {
	if s, ok := howNames[h]; ok {
		return s
	}
	return "unknown"
}

func verdictOf(s *splice.Summary) *Verdict {
	v := &Verdict{
		Seconds:  s.Duration.Round(time.Microsecond).Seconds(),
		ToServer: s.ToServer, ToClient: s.ToClient,
		ClosedBy: s.FirstClose, How: how(s.How), Fault: s.Fault,
		Client: NewLegVerdict(&s.Legs[endpoint.Client]), Server: NewLegVerdict(&s.Legs[endpoint.Server]),
	}
	for _, f := range s.Fired {
		v.Fired = append(v.Fired, Fired{f.Index, f.IsStream, f.Text, f.Count})
	}
	return v
}

// fired is how often all faults of a connection have acted.
func fired(s *splice.Summary) (n uint64) {
	for _, f := range s.Fired {
		n += uint64(f.Count)
	}
	return n
}

func (w *scribe) closed(s *splice.Summary) *Event {
	e := &Event{
		Type: TypeClosed, Conn: s.Conn, Client: s.Client, Server: s.Server, Rule: s.Rule,
		Time: s.Started.Add(s.Duration).UTC(), Verdict: verdictOf(s),
	}
	e.NS = int64(e.Time.Sub(w.epoch))
	return e
}

// codes are the termination codes of both legs, the client's first.
func (v *Verdict) codes() string { return v.Client.Code + " " + v.Server.Code }

// ending says in one line how a connection ended.
func ending(e *Event) string {
	v := e.Verdict
	text := fmt.Sprintf("after %.3f s: %d octets to the server, %d to the client; closed first by %s (%s); codes %s",
		v.Seconds, v.ToServer, v.ToClient, v.ClosedBy, v.How, v.codes())
	if e.Rule != "" {
		text += fmt.Sprintf("; rule %q", e.Rule)
	}
	return text
}

// phases says in one line how a leg fared.
func (v *LegVerdict) phases() string {
	var parts []string
	add := func(name string, ms *float64) {
		if ms != nil {
			parts = append(parts, name+" "+pretty(*ms))
		}
	}
	add("SYN to SYN-ACK", v.SYNToSYNACK)
	add("to first octet", v.FirstByte)
	add("half-closed", v.HalfClosed)
	add("FIN to ACK", v.FINToACK)
	if v.RTT != nil && v.MinRTT != nil {
		parts = append(parts, fmt.Sprintf("RTT %s (min %s)", pretty(*v.RTT), pretty(*v.MinRTT)))
	}
	if v.Retransmits+v.PeerRetransmits > 0 {
		parts = append(parts, fmt.Sprintf("sent again %d, got again %d", v.Retransmits, v.PeerRetransmits))
	}
	if s := v.PeerWindow; s != nil {
		parts = append(parts, fmt.Sprintf("peer's window %d-%d", s.Min, s.Max))
	}
	if len(parts) == 0 {
		return "nothing to tell"
	}
	return strings.Join(parts, ", ")
}

// pretty writes milliseconds in the unit that suits them.
func pretty(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 1000:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.3f s", ms/1000)
}
