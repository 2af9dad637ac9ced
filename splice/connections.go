package splice

import (
	"net/netip"
	"time"

	"tcpmitm/endpoint"
)

// Connection is one connection as `ss` shows it.
type Connection struct {
	Conn           uint64
	Client, Server netip.AddrPort // as the client addressed it
	Target         netip.AddrPort // the server's address after the host's translation
	Rule           string
	Age            time.Duration
	Legs           [2]LegStatus
	Lingering      bool   // over but for TIME-WAIT
	Fired          uint64 // how often faults and policies of its rule have acted
}

// LegStatus is one leg of a connection.
type LegStatus struct {
	State     endpoint.State // the present one
	Delivered uint64         // octets that the leg's peer has acknowledged
	Queued    int            // octets that wait for its acknowledgement
	Vanished  bool           // a fault made it: it neither sends nor answers
	Unread    int            // octets it has sent that the other leg has no room for yet
	ISS, IRS  endpoint.Seq
	LegVerdict
}

// Candidate is what a connection can be chosen by.
type Candidate struct {
	Conn           uint64
	Client, Server netip.AddrPort // as the client addressed it
	Rule           string
	Fired          bool // faults of its rule have acted
	States         [2]endpoint.State
	Age            time.Duration
	Idle           time.Duration // since anything came from either peer
}

// Chooser tells whether a connection is meant. A nil Chooser means all.
type Chooser func(*Candidate) bool

func (choose Chooser) means(now endpoint.Time, f *flow) bool {
	if choose == nil {
		return true
	}
	c := Candidate{
		Conn: f.id, Client: f.clientAddr(), Server: f.serverAddr(), Rule: f.profile.rule,
		Fired: len(f.fired) > 0, Age: now.Sub(f.opened),
	}
	heard := max(f.opened, f.lastSYN)
	for l := range f.legs {
		c.States[l] = f.stateOf(endpoint.Leg(l))
		if ep := f.legs[l].ep; ep != nil {
			heard = max(heard, ep.LastHeard())
		}
	}
	c.Idle = now.Sub(heard)
	return choose(&c)
}

// stateOf is the state of a leg as it is shown.
func (f *flow) stateOf(l endpoint.Leg) endpoint.State {
	if leg := &f.legs[l]; leg.ep != nil || !f.opening() {
		return leg.state()
	}
	return endpoint.Listen // the SYN is held
}

func (choose Chooser) meansWaiting(now endpoint.Time, w *waiting) bool {
	if choose == nil {
		return true
	}
	c := Candidate{
		Conn: w.id, Client: w.legs[endpoint.Client].out.Destination(), Server: w.legs[endpoint.Client].out.Source(),
		Rule: w.rule, Age: now.Sub(w.opened), Idle: now.Sub(w.opened),
	}
	for l := range w.legs {
		c.States[l] = w.legs[l].state()
	}
	return choose(&c)
}

// Connections appends at most limit connections to list, oldest first; a
// negative limit is none. It belongs to the shard's goroutine: ask with Do.
func (s *Shard) Connections(now endpoint.Time, list []Connection, limit int) []Connection {
	list, _ = s.Choose(now, list, limit, true, nil)
	return list
}

// Choose is Connections for those that are meant, and tells how many there are
// of these beyond the limit, too. Those that are over but for TIME-WAIT count
// only with all.
func (s *Shard) Choose(now endpoint.Time, list []Connection, limit int, all bool, choose Chooser) (_ []Connection, total int) {
	add := func(status func(endpoint.Time) Connection) {
		if total++; limit != 0 {
			list = append(list, status(now))
			limit--
		}
	}
	// With everybody meant, there is no need to ask beyond the limit.
	for f := s.live.first; f != nil && (limit != 0 || choose != nil); f = f.next {
		if choose.means(now, f) {
			add(f.status)
		}
	}
	if all {
		for f := s.lingering.first; f != nil && (limit != 0 || choose != nil); f = f.next {
			if choose.means(now, f) {
				add(f.status)
			}
		}
		for w := s.waiting.first; w != nil && (limit != 0 || choose != nil); w = w.next {
			if choose.meansWaiting(now, w) {
				add(w.status)
			}
		}
	}
	if choose != nil {
		return list, total
	}
	total = s.live.count
	if all {
		total += s.lingering.count + s.waiting.count
	}
	return list, total
}

func (f *flow) status(now endpoint.Time) Connection {
	c := Connection{
		Conn:      f.id,
		Client:    f.clientAddr(),
		Server:    f.serverAddr(),
		Target:    f.legs[endpoint.Server].out.Destination(),
		Rule:      f.profile.rule,
		Age:       now.Sub(f.opened),
		Lingering: f.phase == lingering,
	}
	for _, n := range f.fired {
		c.Fired += uint64(n.Count)
	}
	for l := range f.legs {
		leg, st := &f.legs[l], &c.Legs[l]
		st.LegVerdict = f.verdict(now, endpoint.Leg(l))
		st.State = f.stateOf(endpoint.Leg(l))
		st.Vanished = leg.vanished
		st.Delivered = leg.delivered()
		st.Queued = int(leg.written - st.Delivered)
		if leg.ep != nil {
			st.Unread = leg.ep.Readable()
		}
		st.ISS, st.IRS = leg.iss, leg.irs
	}
	return c
}

// Now reads the device's clock.
func (s *Shard) Now() endpoint.Time { return s.dev.Now() }
