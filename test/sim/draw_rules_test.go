package sim

import (
	"time"

	"tcpmitm/rules"
)

// drawRules makes rules with faults and policies, and sometimes one with an
// action.
func (s *scenario) drawRules(concern string) []*rules.Rule {
	d := s.stream(concern)
	var list []*rules.Rule
	if d.chance(0.15) {
		list = append(list, &rules.Rule{
			Name:   "action",
			Match:  rules.Match{Probability: 0.3},
			Seed:   d.Uint64(),
			Action: pick(d, rules.Pass, rules.Reset, rules.Drop),
		})
	}
	if d.chance(0.4) {
		r := &rules.Rule{Name: "late", Match: rules.Match{Probability: 0.5}, Seed: d.Uint64()}
		for range 1 + d.IntN(3) {
			r.Faults = append(r.Faults, rules.Fault{
				Leg: pick(d, rules.Client, rules.Server),
				In:  d.chance(0.5),
				On:  pick(d, rules.SYNACK, rules.ACK, rules.FIN),
				By:  d.between(time.Millisecond, 3*time.Second),
			})
		}
		list = append(list, r)
	}
	if d = s.stream(concern + " on segments"); d.chance(0.3) {
		r := &rules.Rule{Name: "wire", Match: rules.Match{Probability: 0.5}, Seed: d.Uint64()}
		for range 1 + d.IntN(3) {
			r.Faults = append(r.Faults, drawFault(d))
		}
		list = append(list, r)
	}
	if d = s.stream(concern + " on streams"); d.chance(0.3) {
		r := &rules.Rule{Name: "stream", Match: rules.Match{Probability: 0.5}, Seed: d.Uint64()}
		for range 1 + d.IntN(3) {
			r.Streams = append(r.Streams, drawPolicy(d))
		}
		list = append(list, r)
	}
	if d = s.stream(concern + " at moments"); d.chance(0.2) {
		s.endsEarly = true
		r := &rules.Rule{Name: momentsRule, Match: rules.Match{Probability: 0.5}, Seed: d.Uint64()}
		for range 1 + d.IntN(2) {
			r.Faults = append(r.Faults, drawMoment(d))
		}
		if d = s.stream(concern + " among moments"); d.chance(0.5) {
			r.Streams = append(r.Streams, drawPolicy(d))
			r.Faults = append(r.Faults, drawFault(d))
		}
		list = append(list, r)
	}
	return list
}

// momentsRule is the name of a rule whose connections need not come to a good
// end, only to an end.
const momentsRule = "moments"

// drawMoment draws something that a leg does when it comes to a moment.
func drawMoment(d draws) rules.Fault {
	f := rules.Fault{
		Leg: pick(d, rules.Client, rules.Server),
		On:  pick(d, rules.Established, rules.FirstByte, rules.Closing, rules.HalfClosed),
		Do: pick(d, rules.ResetLeg, rules.SendFIN, rules.Vanish, rules.Stall, rules.Dribble,
			rules.WithholdACKs, rules.StretchACKs, rules.DuplicateACKs),
	}
	by, size, n, legs := d.between(time.Millisecond, 20*time.Second), pick(d, 200, 1000, 5000), 2+d.IntN(8), d.IntN(3)
	switch f.Do {
	case rules.ResetLeg:
		f.Legs = [2]bool{legs != 1, legs != 2}
	case rules.Stall, rules.WithholdACKs:
		f.By = by
	case rules.Dribble:
		f.Size = size
	case rules.StretchACKs, rules.DuplicateACKs:
		f.N = n
	}
	return f
}

// drawFault draws one that TCP mends: what it loses it does not lose for ever.
func drawFault(d draws) rules.Fault {
	f := rules.Fault{
		Leg: pick(d, rules.Client, rules.Server),
		In:  d.chance(0.5),
		On: pick(d, rules.Any, rules.Any, rules.SYN, rules.SYNACK, rules.HandshakeACK, rules.ACK,
			rules.Data, rules.Data, rules.FIN, rules.LastACK, rules.WindowUpdate),
		Do: pick(d, rules.Delay, rules.Lose, rules.Lose, rules.Duplicate, rules.Reorder, rules.Corrupt, rules.Split),
	}
	switch which := d.IntN(4); {
	case f.Do == rules.Lose || f.Do == rules.Corrupt:
		if which < 2 {
			f.First = 1 + d.Uint64N(3)
		} else {
			f.Every, f.Probability = 2+d.Uint64N(20), 0.5
		}
	case which == 1:
		f.First = 1 + d.Uint64N(10)
	case which == 2:
		f.Probability = d.Float64()
	case which == 3:
		f.Every = 1 + d.Uint64N(10)
	}
	f.By = d.between(time.Millisecond, 2*time.Second)
	f.Jitter = d.between(0, f.By)
	f.Copies = 1 + d.IntN(3)
	f.Behind = 1 + d.IntN(5)
	f.Size = pick(d, 1, 10, 100, 1000)
	switch f.Do {
	case rules.Delay:
		f.Copies, f.Behind, f.Size = 0, 0, 0
	case rules.Duplicate:
		f.By, f.Jitter, f.Behind, f.Size = 0, 0, 0, 0
	case rules.Reorder:
		f.By, f.Jitter, f.Copies, f.Size = 0, 0, 0, 0
	case rules.Split:
		f.By, f.Jitter, f.Copies, f.Behind, f.On = 0, 0, 0, 0, rules.Data
		if f.Size < 100 {
			f.First, f.Every, f.Probability = 10, 0, 0
		}
	default:
		f.By, f.Jitter, f.Copies, f.Behind, f.Size = 0, 0, 0, 0, 0
	}
	return f
}

// drawPolicy draws one that changes when octets come, and not which.
func drawPolicy(d draws) rules.Policy {
	p := rules.Policy{
		To: pick(d, rules.Client, rules.Server),
		Do: pick(d, rules.Latency, rules.Throttle, rules.Slice, rules.HoldUntil),
	}
	by, rate, size := d.between(0, 2*time.Second), pick(d, 5e3, 1e5, 1e7), pick(d, 100, 1460, 10000)
	switch p.Do {
	case rules.Latency:
		p.By, p.Jitter = by, by/2
	case rules.Throttle:
		p.Rate, p.Burst = rate, size
	case rules.Slice:
		p.Size, p.Gap = size, by/100
	case rules.HoldUntil:
		p.By = by
	}
	return p
}
