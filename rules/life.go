package rules

import "sync/atomic"

// life is what a rule shares with those that had its name before it, so that
// it outlives a change and a reload: the counters, and which of them no longer
// act on live connections.
type life struct {
	reached atomic.Uint64 // connections whose addresses and ports matched
	taken   atomic.Uint64 // of these, the ones that the rule decided
	fired   atomic.Uint64 // faults that acted
	tries   atomic.Uint64 // SYNs that met the rule's faults on SYNs
	stopped atomic.Uint64 // versions up to this one do not act any more
}

// begin gives a rule its life, unless it has one.
func (r *Rule) begin() {
	if r.life == nil {
		r.life, r.version = &life{}, 1
		r.countEach(nil)
	}
}

// Reached is how many connections came to this rule while it was in force and
// matched its addresses and ports, whatever every and probability then said.
func (r *Rule) Reached() uint64 {
	if r.life == nil {
		return 0
	}
	return r.reached.Load()
}

// Taken is how many connections this rule decided.
func (r *Rule) Taken() uint64 {
	if r.life == nil {
		return 0
	}
	return r.taken.Load()
}

// Fired is how often one of the rule's faults or policies acted.
func (r *Rule) Fired() uint64 {
	if r.life == nil {
		return 0
	}
	return r.fired.Load()
}

// Fire counts that fault i of the rule acts.
func (r *Rule) Fire(i int) { r.fire(i) }

// FireStream counts that stream policy i of the rule acts.
func (r *Rule) FireStream(i int) { r.fire(len(r.Faults) + i) }

func (r *Rule) fire(i int) {
	if r.life != nil {
		r.fired.Add(1)
		r.each[i].Add(1)
	}
}

// FaultFired is how often fault i has acted, since there is a fault that says
// the same in a rule of this name.
func (r *Rule) FaultFired(i int) uint64 { return r.firedOf(i) }

// StreamFired is FaultFired for stream policy i.
func (r *Rule) StreamFired(i int) uint64 { return r.firedOf(len(r.Faults) + i) }

func (r *Rule) firedOf(i int) uint64 {
	if r.life == nil {
		return 0
	}
	return r.each[i].Load()
}

// countEach gives each fault and each policy a counter: that of the one of the
// old rule that says the same, if there is one.
func (r *Rule) countEach(old *Rule) {
	r.each = make([]*atomic.Uint64, len(r.Faults)+len(r.Streams))
	kept := map[string][]*atomic.Uint64{}
	if old != nil {
		for i, n := range old.each {
			text := old.textOf(i)
			kept[text] = append(kept[text], n)
		}
	}
	for i := range r.each {
		text := r.textOf(i)
		if list := kept[text]; len(list) > 0 {
			r.each[i], kept[text] = list[0], list[1:]
		} else {
			r.each[i] = new(atomic.Uint64)
		}
	}
}

// textOf is what a fault, or a policy behind the faults, says.
func (r *Rule) textOf(i int) string {
	if i < len(r.Faults) {
		return "fault: " + r.Faults[i].String()
	}
	return "stream: " + r.Streams[i-len(r.Faults)].String()
}

// Try counts a SYN that meets the rule's faults on SYNs, and says which it is,
// from 1.
func (r *Rule) Try() uint64 {
	if r.life == nil {
		return 1
	}
	return r.tries.Add(1)
}

// Enabled tells whether the rule matches new connections. A disabled one
// counts nothing.
func (r *Rule) Enabled() bool { return !r.disabled.Load() }

// SetEnabled switches the rule for new connections. Those that it has decided
// keep what they were born with; see Stop.
func (r *Rule) SetEnabled(on bool) { r.disabled.Store(!on) }

// Stopped tells whether the faults and policies of the rule are to act no
// more, on live connections either. Whoever carries out a fault asks each
// time. It is also true for a nil Rule, which has none.
func (r *Rule) Stopped() bool {
	return r == nil || r.life != nil && r.version <= r.stopped.Load()
}

// Stop ends what the rule, and those that it succeeds, do to live connections.
func (r *Rule) Stop() {
	r.begin()
	r.stopped.Store(r.version)
}

// Resume undoes Stop.
func (r *Rule) Resume() {
	r.begin()
	r.stopped.Store(0)
}

// Succeed makes r the next version of old, with whose counters it goes on.
// It must not be in a Set yet. What was stopped of old stays stopped; r is not.
func (r *Rule) Succeed(old *Rule) {
	old.begin()
	r.life, r.version = old.life, old.version+1
	r.countEach(old)
}

// Copy returns a rule that says the same and lives a life of its own.
func (r *Rule) Copy() *Rule {
	c := &Rule{
		Name: r.Name, Match: r.Match, Seed: r.Seed, Action: r.Action, Timeline: r.Timeline,
		Profiles: r.Profiles, Faults: r.Faults, Streams: r.Streams,
		SimultaneousClose: r.SimultaneousClose, SimultaneousOpen: r.SimultaneousOpen,
	}
	c.SetEnabled(r.Enabled())
	return c
}
