package splice

import (
	"sync/atomic"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// numKinds is how many kinds of segments faults know.
const numKinds = int(rules.FIN) + 1

var kindNames = [numKinds]string{rules.SYNACK: "syn-ack", rules.ACK: "ack", rules.FIN: "fin"}

// profile is what one rule makes of the legs of its connections: made once,
// shared by all of them.
type profile struct {
	rule string // its name, empty if no rule matched
	legs [2]legProfile
	// program is what happens to segments on the wire; nil is nothing.
	program *faults.Program
	*plans  // nil unless it has stream policies
}

// legProfile is the profile of one leg.
type legProfile struct {
	cfg endpoint.Config
	// noteOut tells the observer of what is held; empty where nothing is.
	noteOut [numKinds]string
	anyOut  bool
}

// profiles caches the profile of each rule of the present set.
type profiles struct {
	of    map[*rules.Rule]*profile
	plain *profile
	set   *rules.Set
}

// profileOf returns the profile of a rule, nil being none.
func (s *Shard) profileOf(r *rules.Rule) *profile {
	if r == nil {
		if s.profiles.plain == nil {
			s.profiles.plain = newProfile(&s.opt.Endpoint, nil)
		}
		return s.profiles.plain
	}
	// The cache is bounded by the number of rules in one set: with a new
	// set it starts empty.
	if set := loadRules(s.opt.Rules); s.profiles.of == nil || s.profiles.set != set {
		s.profiles.of, s.profiles.set = make(map[*rules.Rule]*profile), set
	}
	p := s.profiles.of[r]
	if p == nil {
		p = newProfile(&s.opt.Endpoint, r)
		s.profiles.of[r] = p
	}
	return p
}

// ruled gives a new flow what was decided about it.
func (s *Shard) ruled(f *flow, d decision) {
	f.profile = s.profileOf(d.rule)
	f.by, f.ordinal = d.rule, d.ordinal
}

func loadRules(p *atomic.Pointer[rules.Set]) *rules.Set {
	if p == nil {
		return nil
	}
	return p.Load()
}

func newProfile(base *endpoint.Config, r *rules.Rule) *profile {
	p := &profile{}
	p.legs[0].cfg, p.legs[1].cfg = *base, *base
	if r == nil {
		return p
	}
	p.rule = r.Name
	p.program = faults.Compile(r)
	p.plans = planOf(r)
	for _, f := range r.Faults {
		p.legs[f.Leg].add(f, r.Name)
	}
	return p
}

func (l *legProfile) add(f rules.Fault, rule string) {
	if f.By <= 0 || !faults.Decided(&f) {
		return
	}
	note := kindNames[f.On] + " held " + f.By.String() + " by rule " + rule
	switch f.On {
	case rules.SYNACK:
		l.cfg.Hold.SYNACK = f.By
	case rules.ACK:
		l.cfg.Hold.ACK = f.By
	case rules.FIN:
		l.cfg.Hold.FIN = f.By
	}
	l.noteOut[f.On], l.anyOut = note, true
}

// kindOf tells which kind of segment s is to the faults of a leg whose state
// was before when it came or left. ok is false for all other segments: data,
// SYN, RST, and the third segment of a handshake, which acknowledges neither
// data nor FIN.
func kindOf(s *endpoint.Segment, before endpoint.State) (k rules.On, ok bool) {
	const syn, fin, rst, ack = endpoint.SYN, endpoint.FIN, endpoint.RST, endpoint.ACK
	switch {
	case s.Flags.Has(rst) || !s.Flags.Has(ack):
		return 0, false
	case s.Flags.Has(syn):
		return rules.SYNACK, true
	case s.Flags.Has(fin):
		return rules.FIN, true
	case s.PayloadLen() == 0 && before >= endpoint.Established:
		return rules.ACK, true
	}
	return 0, false
}
