package rules

import (
	"fmt"
	"strconv"
	"strings"
)

var onNames = [...]string{
	Any: "any", SYN: "syn", SYNACK: "syn-ack", HandshakeACK: "handshake-ack", ACK: "ack", Data: "data", FIN: "fin",
	LastACK: "last-ack", RST: "rst", WindowUpdate: "window-update",
	Established: "established", FirstByte: "first-byte", Closing: "closing", HalfClosed: "half-closed",
}

// String gives the word that the configuration uses.
func (o On) String() string { return named(onNames[:], int(o)) }

var doNames = [...]string{
	Delay: "delay", Lose: "drop", Duplicate: "duplicate", Reorder: "reorder", Corrupt: "corrupt", Hold: "hold",
	Split: "split", Rewrite: "rewrite",
	ResetLeg: "reset", SendFIN: "fin", Vanish: "vanish", Stall: "stall", Dribble: "dribble", ICMP: "icmp",
	WithholdACKs: "withhold-acks", StretchACKs: "stretch-acks", DuplicateACKs: "duplicate-acks",
	Refuse: "refuse", Ignore: "ignore", AcceptThenDie: "accept-then-die",
}

// String gives the word that the configuration uses.
func (d Do) String() string { return named(doNames[:], int(d)) }

func named(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// String gives the fault in one line, in the words of the configuration, for
// example "server in data drop every 100".
func (f *Fault) String() string {
	w := line{f.Leg.String()}
	if f.In {
		w.add("in")
	}
	w.add(f.On.String(), f.Do.String())
	f.what(&w)
	f.Which.text(&w)
	return strings.Join(w, " ")
}

// line is a line in the making, word by word.
type line []string

func (w *line) add(list ...string) { *w = append(*w, list...) }

// value adds a name and what it is set to, unless that is zero.
func value[T comparable](w *line, name string, v T) {
	var zero T
	if v != zero {
		w.add(name, fmt.Sprint(v))
	}
}

func optional[T any](w *line, name string, v Optional[T]) {
	if v.Set {
		w.add(name, fmt.Sprint(v.Value))
	}
}

// what adds the fields that Do has a use for.
func (f *Fault) what(w *line) {
	value(w, "by", f.By)
	value(w, "jitter", f.Jitter)
	value(w, "copies", f.Copies)
	value(w, "behind", f.Behind)
	if f.Do == Hold {
		w.add("until", f.Until.String())
	}
	value(w, "size", f.Size)
	value(w, "n", f.N)
	switch f.Do {
	case ICMP:
		w.add("code", strconv.Itoa(int(f.Code)))
	case ResetLeg:
		for l, is := range f.Legs {
			if is {
				w.add("the", Leg(l).String())
			}
		}
	case Rewrite:
		h := &f.Header
		optional(w, "window", h.Window)
		optional(w, "urgent", h.Urgent)
		if h.Flags.Set {
			w.add("flags", fmt.Sprintf("%#02x", h.Flags.Value))
		}
		optional(w, "ttl", h.TTL)
		optional(w, "dscp", h.DSCP)
	}
}

func (c *Which) text(w *line) {
	value(w, "nth", c.Nth)
	value(w, "first", c.First)
	value(w, "every", c.Every)
	if c.Probability > 0 && c.Probability < 1 {
		value(w, "probability", c.Probability)
	}
	if c.Bytes != (Octets{}) {
		w.add("bytes", fmt.Sprintf("%d-%d", c.Bytes.From, c.Bytes.To))
	}
	value(w, "after", c.After)
	value(w, "for", c.For)
	optional(w, "retransmits", c.Retransmits)
}
