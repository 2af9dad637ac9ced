package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Fired is how often one fault, or one stream policy, of a connection's rule
// has acted on it.
type Fired struct {
	Index    int // among the rule's faults, or its policies
	IsStream bool
	Text     string
	Count    uint32
}

// report counts a fault that has fired on a flow, and tells the observer.
func (s *Shard) report(f *flow, e *FaultEvent) {
	f.count(e)
	// What is lost on its way out was sent all the same: the next copy is sent
	// again.
	if e.HasSegment && e.Out && e.Do == rules.Lose && !e.IsStream {
		r := &f.legs[e.Leg].record
		end := e.Seq.Plus(e.Len)
		if e.Flags.Has(endpoint.SYN) {
			end++
		}
		if e.Flags.Has(endpoint.FIN) {
			end++
		}
		if end != e.Seq && (!r.sentSome || end.After(r.outEnd)) {
			r.outEnd, r.sentSome = end, true
		}
	}
	if s.opt.Observer != nil {
		s.opt.Observer.Fault(e)
	}
}

// count notes that a fault has fired. A rule has few faults, and most flows
// have none: they keep no list.
func (f *flow) count(e *FaultEvent) {
	for i := range f.fired {
		if n := &f.fired[i]; n.Index == e.Fault && n.IsStream == e.IsStream {
			n.Count++
			return
		}
	}
	f.fired = append(f.fired, Fired{Index: e.Fault, IsStream: e.IsStream, Text: e.Text, Count: 1})
}

// firedOnce is the list of a connection that the fault with that text ended
// before it began; empty if none did.
func firedOnce(r *rules.Rule, text string) []Fired {
	for i := range r.Faults {
		if r.Faults[i].String() == text {
			return []Fired{{Index: i, Text: text, Count: 1}}
		}
	}
	return nil
}
