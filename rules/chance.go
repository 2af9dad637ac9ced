package rules

// take counts a connection that matches the addresses and ports of the rule
// and tells whether the rule decides it, and as the how many-th. With every =
// n these are the n-th, the 2n-th and so on; of those the probability chooses.
func (r *Rule) take() (ordinal uint64, ok bool) {
	reached := r.reached.Add(1)
	if n := r.Match.Every; n > 1 {
		if reached%n != 0 {
			return 0, false
		}
		reached /= n
	}
	if p := r.Match.Probability; p < 1 && Draw(r.Seed, reached) >= p {
		return 0, false
	}
	return r.taken.Add(1), true
}

// Draw is a number in [0, 1) that looks random and depends on nothing but its
// arguments: the rule's seed, the ordinal of the connection, and what tells
// one draw for it from another. Whoever carries out a fault draws with the
// index of the fault in its rule and the count of what it has come by.
func Draw(seed, ordinal uint64, salt ...uint64) float64 {
	return float64(Bits(seed, ordinal, salt...)>>11) / (1 << 53)
}

// Bits is Draw before it is made a number between 0 and 1: 64 bits.
func Bits(seed, ordinal uint64, salt ...uint64) uint64 {
	// The seed is mixed before the ordinal is added, so that neighbouring
	// seeds are not the same sequence shifted by one; so with each salt.
	x := mix(mix(seed) + ordinal)
	for _, s := range salt {
		x = mix(x + s)
	}
	return x
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
