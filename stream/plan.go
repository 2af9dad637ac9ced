package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// MaxPolicies bounds the policies that act in one direction; a configuration
// with more is to be refused, and Compile leaves the rest out.
const MaxPolicies = 16

// maker makes one connection's share of a policy.
type maker func(p *Pipeline) stage

// Plan is what the policies of a rule come to for one direction. It never
// changes and is shared by all connections of the rule.
type Plan struct {
	seed   uint64
	makers []maker
	index  []int // of each policy in the rule's list
}

// Compile makes the plan for the octets on their way to one leg's peer. It is
// nil if no policy says anything about them. A policy that could do nothing,
// such as a throttle without a rate, is left out.
func Compile(policies []rules.Policy, to rules.Leg, seed uint64) *Plan {
	plan := &Plan{seed: seed}
	for i := range policies {
		if policies[i].To != to || len(plan.makers) == MaxPolicies {
			continue
		}
		if m := makerOf(&policies[i]); m != nil {
			plan.makers = append(plan.makers, m)
			plan.index = append(plan.index, i)
		}
	}
	if len(plan.makers) == 0 {
		return nil
	}
	return plan
}

func makerOf(r *rules.Policy) maker {
	switch r.Do {
	case rules.Latency:
		return newLatency(r)
	case rules.Throttle:
		return newThrottle(r)
	case rules.Slice:
		return newSlice(r)
	case rules.Limit:
		return newLimit(r)
	case rules.Replace:
		if r.Pattern != nil {
			return newPattern(r)
		}
		return newLiteral(r)
	case rules.Insert:
		return newInsert(r)
	case rules.Discard:
		return newDiscard(r)
	case rules.CorruptData:
		return newCorrupt(r)
	case rules.HoldUntil:
		return newHold(r)
	}
	return nil
}

// New makes a connection's pipeline. The ordinal is the connection's among
// those of the rule; pool may be nil.
func (plan *Plan) New(pool *endpoint.Pool, ordinal uint64) *Pipeline {
	p := &Pipeline{plan: plan, pool: pool, ordinal: ordinal, next: endpoint.Never}
	p.stages = make([]stage, len(plan.makers))
	p.queues = make([]queue, len(plan.makers)+1)
	for i, m := range plan.makers {
		p.making = i
		p.stages[i] = m(p)
		p.queues[i].maxOctets, p.queues[i].maxItems = betweenOctets, betweenItems
		if d, ok := p.stages[i].(deep); ok && d.deep() {
			p.queues[i].maxOctets, p.queues[i].maxItems = maxHeld, maxHeldChunks
			p.queues[i].deep = true
		}
	}
	last := len(p.queues) - 1
	p.queues[last].maxOctets, p.queues[last].maxItems = betweenOctets, betweenItems
	return p
}

// bounds of a range of octets; a range without an end goes on for ever.
func bounds(o rules.Octets) (from, to uint64) {
	if o.To == 0 {
		return o.From, ^uint64(0)
	}
	return o.From, o.To
}
