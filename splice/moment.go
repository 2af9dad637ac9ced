package splice

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// numMoments is how many moments the life of a leg has.
const numMoments = int(rules.HalfClosed-rules.Established) + 1

// moments are the faults of one rule that are not the wire's: those at the
// moments of a leg, those on what an endpoint decides late, and those on the
// client's SYN. Made once, shared by all connections of the rule.
type moments struct {
	rule *rules.Rule
	at   [2][numMoments][]int   // indices of the rule's faults
	held [2][numHeldKinds][]int // the same
	// holds tells of each leg that something of it may be held.
	holds [2]bool
	syn   []int    // refuse, ignore, icmp on the SYN
	texts []string // each fault in words
	notes []string // what the observer is told of a segment that was held
}

// compileMoments makes the moments of a rule; nil if it has none.
func compileMoments(r *rules.Rule) *moments {
	m := &moments{rule: r}
	any := r.SimultaneousClose
	for i := range r.Faults {
		f := &r.Faults[i]
		m.texts = append(m.texts, f.String())
		m.notes = append(m.notes, "")
		switch {
		case onSYN(f):
			m.syn = append(m.syn, i)
		case faults.Decided(f):
			k := heldKinds[f.On]
			m.held[f.Leg][k] = append(m.held[f.Leg][k], i)
			m.holds[f.Leg] = true
			m.notes[i] = noteOfHeld(f, r.Name)
		case f.Do >= rules.ResetLeg:
			on := max(f.On, rules.Established) - rules.Established
			m.at[f.Leg][on] = append(m.at[f.Leg][on], i)
		default:
			continue // the wire's
		}
		any = true
	}
	if !any {
		return nil
	}
	return m
}

func noteOfHeld(f *rules.Fault, rule string) string {
	how := f.By.String()
	switch {
	case f.Do == rules.Hold:
		how = "until " + f.Until.String()
	case f.Jitter > 0:
		how += "±" + f.Jitter.String()
	}
	return f.On.String() + " held " + how + " by rule " + rule
}

// acts is what a flow's moments have come to so far. A flow whose rule has
// none has no acts.
type acts struct {
	holders [2]holder
	counts  []faults.Count // of what is held, by fault
	draws   uint64
	seen    [2]came // moments of each leg that the faults at them have acted at
	pending []act   // at most two for each fault: it acts, and it ends
	active  []bool  // faults that last
	tuned   [2]bool // legs that something was changed of
	// adrift: one of the legs has no partner any more, because a rule has cut
	// it off or made it vanish. until is when such a flow is given up.
	adrift bool
	until  endpoint.Time
	// crossing is until when a FIN is kept that is to cross ours.
	crossing [2]endpoint.Time
	endedBy  int // the fault that ended the connection, from 1
}

// act is what is to be done about a fault at a time.
type act struct {
	at    endpoint.Time
	fault int
	ends  bool // what it does ends; else it begins
}

// newActs makes the acts of a flow; m may be nil.
func newActs(m *moments) *acts {
	n := 0
	if m != nil {
		n = len(m.texts)
	}
	return &acts{
		counts: make([]faults.Count, n), active: make([]bool, n),
		until: endpoint.Never, crossing: [2]endpoint.Time{endpoint.Never, endpoint.Never},
	}
}

// draw numbers the draws of one connection.
func (a *acts) draw() uint64 {
	a.draws++
	return a.draws
}

// next is when actTimeout has something to do.
func (a *acts) next() endpoint.Time {
	if a == nil {
		return endpoint.Never
	}
	at := min(a.until, a.crossing[0], a.crossing[1])
	for i := range a.pending {
		at = min(at, a.pending[i].at)
	}
	return at
}

// finish forgets what will not happen any more, now that the flow is over. A
// leg that has vanished goes on to be one.
func (a *acts) finish(f *flow) {
	if a == nil {
		return
	}
	a.pending, a.crossing = nil, [2]endpoint.Time{endpoint.Never, endpoint.Never}
	if !f.legs[0].vanished && !f.legs[1].vanished {
		a.until = endpoint.Never
	}
}

// watch carries out what the rule has for the moments that the legs have come
// to (see reach): at once, before the segment that brought the moment is
// answered or carried over. Only the ACK that completes the handshake with the
// server leaves before, for without it the server would not be there yet; and
// even that one tells the window that a fault wants.
func (s *Shard) watch(now endpoint.Time, f *flow) {
	if f.phase == lingering || f.moments == nil {
		return
	}
	for i := range f.legs {
		for m := rules.Established; m <= rules.HalfClosed; m++ {
			if f.legs[i].came.has(m) && !f.acts.seen[i].has(m) {
				s.come(now, f, endpoint.Leg(i), m)
			}
		}
	}
}

// come lets the faults at a moment act, which a leg has come to.
func (s *Shard) come(now endpoint.Time, f *flow, l endpoint.Leg, moment rules.On) {
	a, leg := f.acts, &f.legs[l]
	if leg.ep == nil || leg.vanished {
		return
	}
	a.seen[l] |= bitOf(moment)
	s.release(now, f, l, moment)
	list := f.moments.at[l][moment-rules.Established]
	owed := moment == rules.Established && l == endpoint.Server // the handshake's ACK
	if moment == rules.Established {
		s.retune(now, f, l)
	}
	for _, i := range list {
		if owed && !limitsWindow(&f.by.Faults[i]) {
			s.send(now, f, l)
			owed = false
		}
		if !s.chosen(f, i) {
			continue
		}
		if after := f.by.Faults[i].After; after > 0 {
			a.pending = append(a.pending, act{at: now.Add(after), fault: i})
		} else {
			s.begin(now, f, i)
		}
	}
	s.markDirty(f)
}

// limitsWindow tells of a fault at a moment that it makes the window smaller.
func limitsWindow(flt *rules.Fault) bool { return flt.Do == rules.Stall || flt.Do == rules.Dribble }

// chosen tells whether a fault at a moment acts on this connection: a moment
// comes once, so that nth, first and every count the rule's connections.
func (s *Shard) chosen(f *flow, i int) bool {
	return chooses(&f.by.Faults[i].Which, f.by.Seed, f.ordinal, i)
}

// chooses applies the choices of a fault to the n-th of what the rule counts.
func chooses(w *rules.Which, seed, n uint64, fault int) bool {
	switch {
	case w.Nth > 0 && n != w.Nth, w.First > 0 && n > w.First, w.Every > 0 && n%w.Every != 0:
		return false
	}
	return w.Probability <= 0 || w.Probability >= 1 || rules.Draw(seed, n, uint64(fault)) < w.Probability
}

// actTimeout does what the time has come for.
func (s *Shard) actTimeout(now endpoint.Time, f *flow) {
	a := f.acts
	if a == nil {
		return
	}
	// What begins may add to pending, for later.
	for i := 0; i < len(a.pending); {
		p := a.pending[i]
		if p.at > now {
			i++
			continue
		}
		a.pending = append(a.pending[:i], a.pending[i+1:]...)
		if p.ends {
			a.active[p.fault] = false
			s.retune(now, f, endpoint.Leg(f.by.Faults[p.fault].Leg))
		} else {
			s.begin(now, f, p.fault)
		}
	}
	for l := range a.crossing {
		if a.crossing[l] <= now {
			a.crossing[l] = endpoint.Never
			s.retune(now, f, endpoint.Leg(l))
		}
	}
	if a.until <= now {
		s.strand(now, f)
	}
}

// fired tells of a fault that acts, but for those on the wire.
func (s *Shard) fired(now endpoint.Time, f *flow, i int, by time.Duration, n int) {
	f.by.Fire(i)
	s.counters.Faults++
	flt := &f.by.Faults[i]
	leg := &f.legs[flt.Leg]
	s.fault = FaultEvent{
		At: now, Conn: f.id, Client: f.clientAddr(), Server: f.serverAddr(), Rule: f.by.Name,
		Fault: i, Text: f.moments.texts[i], Leg: endpoint.Leg(flt.Leg), Out: !flt.In,
		Do: flt.Do, By: by, N: n, ISS: leg.iss, IRS: leg.irs,
	}
	s.report(f, &s.fault)
}
