package splice

import (
	"math/bits"
	"sync/atomic"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// profile is what one rule makes of the legs of its connections: made once,
// shared by all of them.
type profile struct {
	rule string // its name, empty if no rule matched
	legs [2]legProfile
	// program is what happens to segments on the wire; nil is nothing.
	program *faults.Program
	// moments is what happens at moments, and what is decided late; nil is
	// nothing.
	moments *moments
	*plans  // nil unless it has stream policies
	// watched: one of these wants to know to which moments the legs come.
	watched bool
}

// legProfile is the profile of one leg: what the rule says, and the endpoint
// configuration that follows from it (see legprofile.go).
type legProfile struct {
	rules.Profile
	cfg endpoint.Config
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
	if f.moments != nil {
		f.acts = newActs(f.moments)
	}
	for l := range f.legs {
		f.legs[l].header.TTL = f.profile.legs[l].TTL.Value
		f.legs[l].header.DSCP = f.profile.legs[l].DSCP.Value
	}
}

// copyDSCP lets a leg send with the DSCP that the other leg's peer has used,
// unless the leg's profile names one.
func (f *flow) copyDSCP(l endpoint.Leg, dscp uint8) {
	if !f.profile.legs[l].DSCP.Set {
		f.legs[l].header.DSCP = dscp
	}
}

func loadRules(p *atomic.Pointer[rules.Set]) *rules.Set {
	if p == nil {
		return nil
	}
	return p.Load()
}

func newProfile(base *endpoint.Config, r *rules.Rule) *profile {
	p := &profile{}
	if r == nil {
		p.legs[0].cfg, p.legs[1].cfg = *base, *base
		return p
	}
	p.rule = r.Name
	p.program = faults.Compile(r)
	p.plans = planOf(r)
	p.moments = compileMoments(r)
	p.watched = p.program != nil || p.plans != nil || p.moments != nil
	for l := range p.legs {
		p.legs[l] = legProfile{Profile: r.Profiles[l], cfg: configOf(base, &r.Profiles[l])}
		if n := leastDribble(r, rules.Leg(l)); n > 0 && !p.legs[l].WindowScale.Set {
			// Or the window could not be told as exactly as that.
			p.legs[l].WindowScale = rules.Some(min(bits.Len(uint(n))-1, scaleFor(p.legs[l].cfg.ReceiveBuffer)))
		}
	}
	return p
}
