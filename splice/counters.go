package splice

import "tcpmitm/endpoint"

// Counters are what a shard has, and what it has done so far.
type Counters struct {
	// What there is now.
	Flows     int   // spliced connections, those being opened included
	HalfOpen  int   // of these, the ones whose handshakes are in progress
	Lingering int   // connections that are over but for TIME-WAIT
	Timers    int   // flows with an armed timer
	InWire    int   // segments that rules hold back
	PoolInUse int64 // octets in buffers
	States    States

	// What there was.
	Opened, Closed               uint64 // connections
	Refused                      uint64 // by the server
	Killed                       uint64 // by an operator
	Passed, Reset, Dropped       uint64 // SYNs that were not spliced, by what became of them
	CookiesSent, CookiesAccepted uint64
	Octets                       [2]uint64 // handed on towards each leg's peer
	SegmentsIn, SegmentsOut      [2]uint64 // of each leg
	ForeignIn, ForeignOut        uint64    // packets handed from shard to shard
	WireFull                     uint64    // segments that were to be held and were not, for lack of room
	SendErrors                   uint64    // packets that the device did not take
	Faults                       uint64    // that acted
	Unrecorded                   uint64    // connections for which the ledger had no room
	Orphans                      uint64    // connections of a killed process, whose peers were reset
	Turns                        uint64    // times that Transmit had something to do
	Reasons                      endpoint.Reasons
	Ends                         Ends
	Legs                         [2]LegCounters
}

// Counters returns the present values.
func (s *Shard) Counters() Counters {
	c := s.counters
	c.Flows, c.Lingering = s.live.count, s.lingering.count+s.waiting.count
	c.Timers = s.wheel.count
	c.InWire, c.WireFull = s.wire.Segments, s.wire.Full
	if p := s.opt.Endpoint.Pool; p != nil {
		c.PoolInUse = p.InUse()
	}
	return c
}

// Add sums the counters of several shards.
func (c *Counters) Add(d *Counters) {
	c.Flows += d.Flows
	c.HalfOpen += d.HalfOpen
	c.Lingering += d.Lingering
	c.Timers += d.Timers
	c.InWire += d.InWire
	c.PoolInUse += d.PoolInUse
	c.States.add(&d.States)
	c.Opened += d.Opened
	c.Closed += d.Closed
	c.Refused += d.Refused
	c.Killed += d.Killed
	c.Passed += d.Passed
	c.Reset += d.Reset
	c.Dropped += d.Dropped
	c.CookiesSent += d.CookiesSent
	c.CookiesAccepted += d.CookiesAccepted
	for l := range c.Octets {
		c.Octets[l] += d.Octets[l]
		c.SegmentsIn[l] += d.SegmentsIn[l]
		c.SegmentsOut[l] += d.SegmentsOut[l]
	}
	c.ForeignIn += d.ForeignIn
	c.ForeignOut += d.ForeignOut
	c.WireFull += d.WireFull
	c.SendErrors += d.SendErrors
	c.Faults += d.Faults
	c.Unrecorded += d.Unrecorded
	c.Orphans += d.Orphans
	c.Turns += d.Turns
	for r := range c.Reasons {
		c.Reasons[r] += d.Reasons[r]
	}
	c.Ends.merge(&d.Ends)
	for l := range c.Legs {
		c.Legs[l].add(&d.Legs[l])
	}
}
