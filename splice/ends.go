package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// NumHows is how many ways there are in which a connection ends.
const NumHows = int(ByOperator) + 1

// Enders who can close first, as an index.
const (
	EndedByClient = iota
	EndedByServer
	EndedByUs
	NumEnders
)

// EnderNames are those of Summary.FirstClose.
var EnderNames = [NumEnders]string{endpoint.Client.String(), endpoint.Server.String(), "tcpmitm"}

// RTTBounds are the upper bounds of a Histogram's buckets but the last, which
// has none.
var RTTBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Histogram counts durations by RTTBounds.
type Histogram struct {
	Buckets [len(RTTBounds) + 1]uint64
	Sum     uint64 // nanoseconds
}

func (h *Histogram) add(d time.Duration) {
	i := 0
	for i < len(RTTBounds) && d > RTTBounds[i] {
		i++
	}
	h.Buckets[i]++
	h.Sum += uint64(max(d, 0))
}

// Count is how many durations there were.
func (h *Histogram) Count() (n uint64) {
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

func (h *Histogram) merge(o *Histogram) {
	for i := range h.Buckets {
		h.Buckets[i] += o.Buckets[i]
	}
	h.Sum += o.Sum
}

// Ends sum up the connections that are over.
type Ends struct {
	By  [NumEnders][NumHows]uint64 // by who closed first and how
	RTT [2]Histogram               // the last smoothed RTT of each leg that has one
}

func (e *Ends) merge(o *Ends) {
	for l := range e.RTT {
		e.RTT[l].merge(&o.RTT[l])
	}
	for who := range e.By {
		for how := range e.By[who] {
			e.By[who][how] += o.By[who][how]
		}
	}
}

// countEnd counts a connection that is over.
func (e *Ends) countEnd(f *flow) {
	who := EndedByUs
	switch f.firstClose {
	case EnderNames[EndedByClient]:
		who = EndedByClient
	case EnderNames[EndedByServer]:
		who = EndedByServer
	}
	e.By[who][f.how]++
	for l := range f.legs {
		if ep := f.legs[l].ep; ep != nil {
			if srtt := ep.Info().SRTT; srtt > 0 {
				e.RTT[l].add(srtt)
			}
		}
	}
}
