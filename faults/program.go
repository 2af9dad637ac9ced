package faults

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Program is the faults of one rule that act on segments. It never changes,
// and any number of stages share it.
type Program struct {
	rule   *rules.Rule
	faults []fault
	// on tells which kinds the faults of each leg and direction are on.
	on [2][2]kinds
}

// fault is one fault of a rule, with what can be known beforehand.
type fault struct {
	*rules.Fault
	index int // in the rule
	text  string
	note  string
	leg   endpoint.Leg
	on    kinds
	// once: while such a segment is held the same one, sent again, is no
	// other, and when it has come out the next one is not held.
	once bool
}

// Decided tells whether a fault is on what an endpoint of ours decides, and
// not on the wire: the endpoint holds such a segment back, and once.
func Decided(f *rules.Fault) bool {
	decided := f.On == rules.SYNACK || f.On == rules.ACK || f.On == rules.LastACK || f.On == rules.FIN
	return (f.Do == rules.Delay || f.Do == rules.Hold) && !f.In && decided
}

// OnSegments tells whether a fault is the stage's.
func OnSegments(f *rules.Fault) bool {
	return f.Do <= rules.Rewrite && !f.On.Moment() && !Decided(f)
}

// Compile makes the program of a rule; it is nil if no fault of the rule, or
// no rule, acts on segments.
func Compile(r *rules.Rule) *Program {
	if r == nil {
		return nil
	}
	p := &Program{rule: r}
	for i := range r.Faults {
		f := &r.Faults[i]
		if !OnSegments(f) {
			continue
		}
		c := fault{Fault: f, index: i, text: f.String(), leg: endpoint.Leg(f.Leg), on: kind(f.On)}
		c.note = c.remark(r.Name)
		// A peer that sends its SYN-ACK or FIN again while the first one is
		// held has not got another one to say.
		c.once = (f.On == rules.SYNACK || f.On == rules.FIN) && (f.Do == rules.Hold || f.Do == rules.Delay && f.In)
		p.faults = append(p.faults, c)
		p.on[f.Leg][direction(!f.In)] |= c.on
	}
	if len(p.faults) == 0 {
		return nil
	}
	return p
}

// direction is an index: 0 for what leaves, 1 for what arrives.
func direction(out bool) int {
	if out {
		return 0
	}
	return 1
}

// Touches tells whether a fault is on segments of a kind, of a leg and a
// direction. A nil Program touches nothing.
func (p *Program) Touches(l endpoint.Leg, out bool, on rules.On) bool {
	return p != nil && p.on[l][direction(out)]&(kind(on)|kind(rules.Any)) != 0
}

// remark is what the fault's work looks like in a few words, for the note on
// a segment.
func (f *fault) remark(rule string) string {
	by := " by rule " + rule
	on := f.On.String()
	switch f.Do {
	case rules.Delay:
		if f.Jitter > 0 {
			return on + " held " + f.By.String() + "±" + f.Jitter.String() + by
		}
		return on + " held " + f.By.String() + by
	case rules.Hold:
		return on + " held until " + f.Until.String() + by
	case rules.Duplicate:
		return on + " duplicated" + by
	case rules.Reorder:
		return on + " reordered" + by
	case rules.Corrupt:
		return on + " corrupted" + by
	case rules.Split:
		return on + " split" + by
	case rules.Rewrite:
		return on + " rewritten" + by
	}
	return on + " dropped" + by
}
