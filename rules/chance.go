package rules

// take counts a connection that matches the addresses and ports of the rule
// and tells whether the rule decides it. With every = n these are the n-th,
// the 2n-th and so on; of those the probability chooses.
func (r *Rule) take() bool {
	ordinal := r.reached.Add(1)
	if n := r.Match.Every; n > 1 {
		if ordinal%n != 0 {
			return false
		}
		ordinal /= n
	}
	if p := r.Match.Probability; p < 1 && chance(r.Seed, ordinal) >= p {
		return false
	}
	r.taken.Add(1)
	return true
}

// chance is a number in [0, 1) that looks random and depends on nothing but
// the seed and the ordinal.
func chance(seed, ordinal uint64) float64 {
	// The seed is mixed before the ordinal is added, so that neighbouring
	// seeds are not the same sequence shifted by one.
	return float64(mix(mix(seed)+ordinal)>>11) / (1 << 53)
}

// mix is a permutation of the 64-bit numbers in which each bit of the input
// reaches each bit of the output: the finalizer of SplitMix64 (Steele, Lea
// and Flood, "Fast splittable pseudorandom number generators", 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
