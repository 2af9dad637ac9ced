package stream

import "tcpmitm/rules"

// chance draws the numbers of one policy in one connection; the salt keeps
// them apart from those of the rule's faults, which count from 0 on.
type chance struct{ seed, ordinal, salt uint64 }

func (p *Pipeline) chance() chance {
	return chance{p.plan.seed, p.ordinal, ^uint64(p.plan.index[p.making])}
}

// bits is the n-th number.
func (c chance) bits(n uint64) uint64 { return rules.Bits(c.seed, c.ordinal, c.salt, n) }

// float is the n-th number, in [0, 1).
func (c chance) float(n uint64) float64 { return rules.Draw(c.seed, c.ordinal, c.salt, n) }
