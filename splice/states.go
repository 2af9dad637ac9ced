package splice

import (
	"fmt"

	"tcpmitm/endpoint"
)

// NumStates is how many states a leg can be in.
const NumStates = int(endpoint.TimeWait) + 1

// States count the legs of each kind by state, as Connections would show them:
// those of live connections, and of those that are over but for TIME-WAIT.
// They are kept while flows have their turns, so that to ask for them costs
// nothing.
type States [2][NumStates]int

func (c *States) add(d *States) {
	for l := range c {
		for st := range c[l] {
			c[l][st] += d[l][st]
		}
	}
}

// tally notes which states a flow's legs are in.
func (s *Shard) tally(f *flow) {
	for l := range f.legs {
		st := f.stateOf(endpoint.Leg(l))
		if f.tallied && st == f.legs[l].shown {
			continue
		}
		if f.tallied {
			s.counters.States[l][f.legs[l].shown]--
		}
		s.counters.States[l][st]++
		f.legs[l].shown = st
	}
	f.tallied = true
}

// untally forgets a flow.
func (s *Shard) untally(f *flow) {
	if !f.tallied {
		return
	}
	f.tallied = false
	for l := range f.legs {
		s.counters.States[l][f.legs[l].shown]--
	}
}

// tallyWaiting counts a record that comes (1) or goes (-1).
func (s *Shard) tallyWaiting(w *waiting, n int) {
	for l := range w.legs {
		s.counters.States[l][w.legs[l].state()] += n
	}
}

// checkStates counts anew.
func (s *Shard) checkStates() error {
	var all States
	for _, list := range [...]*chain[flow, *flow]{&s.live, &s.lingering} {
		for f := list.first; f != nil; f = f.next {
			for l := range f.legs {
				st, shown := f.stateOf(endpoint.Leg(l)), f.legs[l].shown
				if !f.tallied || !f.dirty && st != shown {
					return fmt.Errorf("connection %d is counted as %v on the %v leg, and that is %v", f.id, shown, endpoint.Leg(l), st)
				}
				all[l][shown]++
			}
		}
	}
	for w := s.waiting.first; w != nil; w = w.next {
		for l := range w.legs {
			all[l][w.legs[l].state()]++
		}
	}
	if all != s.counters.States {
		return fmt.Errorf("counted legs by state are %v, and there are %v", s.counters.States, all)
	}
	return nil
}
