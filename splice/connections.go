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

// Connections appends at most limit connections to list, oldest first; a
// negative limit is none. It belongs to the shard's goroutine: ask with Do.
func (s *Shard) Connections(now endpoint.Time, list []Connection, limit int) []Connection {
	for _, from := range [...]*chain[flow, *flow]{&s.live, &s.lingering} {
		for f := from.first; f != nil && limit != 0; f = f.next {
			list = append(list, f.status(now))
			limit--
		}
	}
	for w := s.waiting.first; w != nil && limit != 0; w = w.next {
		list = append(list, w.status(now))
		limit--
	}
	return list
}

func (f *flow) status(now endpoint.Time) Connection {
	c := Connection{
		Conn:      f.id,
		Client:    f.clientAddr(),
		Server:    f.serverAddr(),
		Target:    f.legs[endpoint.Server].in.Source(),
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
		st.State = leg.state()
		st.Vanished = leg.vanished
		if leg.ep == nil && f.opening() {
			st.State = endpoint.Listen // the SYN is held
		}
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
