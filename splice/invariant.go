package splice

import (
	"fmt"

	"tcpmitm/endpoint"
)

// CheckInvariants looks for a flow that could never move again: after
// Transmit, whatever is unacknowledged, unsent or blocked has an armed timer,
// and whatever could be carried over has been. The simulator calls it after
// each step; it is too slow for production.
func (s *Shard) CheckInvariants() error {
	if n := s.live.count + s.lingering.count + s.waiting.count + s.orphans.groups; n < s.wheel.count {
		return fmt.Errorf("%d timers for %d flows", s.wheel.count, n)
	}
	for w := s.waiting.first; w != nil; w = w.next {
		if !w.timer.set {
			return fmt.Errorf("connection %d is in TIME-WAIT for ever", w.id)
		}
	}
	if err := s.checkStates(); err != nil {
		return err
	}
	for f := s.live.first; f != nil; f = f.next {
		if err := s.checkFlow(f); err != nil {
			return fmt.Errorf("connection %d (%v to %v, %v and %v): %w", f.id, f.clientAddr(), f.serverAddr(),
				f.legs[0].state(), f.legs[1].state(), err)
		}
	}
	return nil
}

func (s *Shard) checkFlow(f *flow) error {
	if f.dirty {
		return nil // it has its turn at once
	}
	at := min(f.deadline, f.stage.Next(), f.pipes.next(), f.acts.next())
	for l := range f.legs {
		leg := &f.legs[l]
		ep := leg.ep
		if ep == nil {
			continue
		}
		if leg.vanished {
			// It has no timer, and needs none: nothing is ever sent again. What
			// ends it is the flow's.
			if f.acts.until == endpoint.Never {
				return fmt.Errorf("the %v leg has vanished, and nothing ends it", endpoint.Leg(l))
			}
			continue
		}
		if has := leg.repairs(); has != leg.counted {
			return fmt.Errorf("%v leg: it has done %+v, and %+v is counted", endpoint.Leg(l), has, leg.counted)
		}
		if err := ep.Verify(); err != nil {
			return fmt.Errorf("%v leg: %w", endpoint.Leg(l), err)
		}
		at = min(at, ep.NextTimeout())
		if i := ep.Info(); !leg.done() && i.Unsent+i.Unacked > 0 && ep.NextTimeout() == endpoint.Never {
			return fmt.Errorf("%d octets wait on the %v leg and no timer is armed", i.Unsent+i.Unacked, endpoint.Leg(l))
		}
	}
	// A deadline may have passed already when it is set: then the next tick is
	// its time.
	if due := max(at, endpoint.Time(s.wheel.now*tickLen)); at != endpoint.Never &&
		(!f.timer.set || endpoint.Time(f.timer.tick*tickLen) > due+2*tickLen) {
		return fmt.Errorf("the timer of the flow is late: due %d", at)
	}
	if f.phase != relaying {
		return nil
	}
	for l := range f.legs {
		from, to := &f.legs[l], &f.legs[1-l]
		open := to.ep != nil && !to.done() && !to.finPassed
		if from.ep == nil || from.vanished || !open {
			continue
		}
		if p := f.pipelineInto(endpoint.Leg(1 - l)); p != nil {
			if err := checkPipeline(from, to, p); err != nil {
				return fmt.Errorf("%v leg: %w", endpoint.Leg(l), err)
			}
			continue
		}
		if n := from.ep.Readable(); n > 0 && to.ep.WriteSpace() > 0 {
			return fmt.Errorf("%d octets of the %v leg are not carried over", n, endpoint.Leg(l))
		}
		if from.peerClosed && from.ep.Readable() == 0 {
			return fmt.Errorf("the FIN of the %v leg is not passed on", endpoint.Leg(l))
		}
	}
	return nil
}
