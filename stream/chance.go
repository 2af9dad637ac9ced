package stream

// chance draws the numbers of one policy in one connection: they look random
// and depend on nothing but the seed, the ordinal, the policy and n.
type chance struct{ base uint64 }

func (p *Pipeline) chance() chance {
	return chance{mix(mix(p.plan.seed)+p.ordinal) ^ mix(^uint64(p.plan.index[p.making]))}
}

// bits is the n-th number.
func (c chance) bits(n uint64) uint64 { return mix(c.base + mix(n)) }

// float is the n-th number, in [0, 1).
func (c chance) float(n uint64) float64 { return float64(c.bits(n)>>11) / (1 << 53) }

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
