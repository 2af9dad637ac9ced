package rules

import (
	"fmt"
	"strings"
)

var streamNames = [...]string{
	Latency: "latency", Throttle: "throttle", Slice: "slice", Limit: "limit", Replace: "replace", Insert: "insert",
	Discard: "discard", CorruptData: "corrupt", HoldUntil: "hold-until",
}

// String gives the word that the configuration uses.
func (s Stream) String() string { return named(streamNames[:], int(s)) }

var endingNames = [...]string{EndFIN: "fin", EndReset: "reset", EndVanish: "vanish"}

// String gives the word that the configuration uses.
func (e Ending) String() string { return named(endingNames[:], int(e)) }

// maxQuoted bounds what a line shows of octets.
const maxQuoted = 32

// String gives the policy in one line, in the words of the configuration, for
// example "to client throttle rate 1e+06".
func (p *Policy) String() string {
	w := line{"to", p.To.String(), p.Do.String()}
	value(&w, "by", p.By)
	value(&w, "jitter", p.Jitter)
	value(&w, "rate", p.Rate)
	value(&w, "burst", p.Burst)
	value(&w, "size", p.Size)
	value(&w, "gap", p.Gap)
	value(&w, "bytes", p.Bytes)
	if p.Do == Limit {
		w.add("then", p.Then.String())
	}
	if p.Pattern != nil {
		w.add("pattern", quoted([]byte(p.Pattern.String())))
	} else if p.Do == Replace {
		w.add("find", quoted(p.Find))
	}
	if p.Do == Replace || p.Do == Insert {
		w.add("with", quoted(p.With))
	}
	value(&w, "first", p.First)
	if p.Do == Insert {
		w.add("at", fmt.Sprint(p.At))
	}
	if p.Range != (Octets{}) {
		w.add("range", fmt.Sprintf("%d-%d", p.Range.From, p.Range.To))
	}
	value(&w, "every", p.Every)
	optional(&w, "until", p.Until)
	return strings.Join(w, " ")
}

func quoted(b []byte) string {
	if len(b) > maxQuoted {
		return fmt.Sprintf("%q...", b[:maxQuoted])
	}
	return fmt.Sprintf("%q", b)
}
