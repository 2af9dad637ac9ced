package rules

import "math/bits"

// dense is a set of rules with a bit for each. A summary bit stands for a
// word that is not zero, so that a search skips 64 rules with a bit and 4,096
// with a word.
type dense struct {
	words   []uint64
	summary []uint64
}

func words(rules int) int        { return (rules + 63) / 64 }
func summaryWords(rules int) int { return (words(rules) + 63) / 64 }

func newDense(rules int) dense {
	return dense{words: make([]uint64, words(rules)), summary: make([]uint64, summaryWords(rules))}
}

// put adds the rule to the set or takes it out.
func (d *dense) put(rule int, in bool) {
	w := rule / 64
	if in {
		d.words[w] |= 1 << (rule % 64)
	} else {
		d.words[w] &^= 1 << (rule % 64)
	}
	if d.words[w] != 0 {
		d.summary[w/64] |= 1 << (w % 64)
	} else {
		d.summary[w/64] &^= 1 << (w % 64)
	}
}

// pack returns a copy that stores only the words that are not zero: there is
// a set for each interval, and most hold few rules.
func (d *dense) pack() sparse {
	var s sparse
	for sw, bitsOfSummary := range d.summary {
		if bitsOfSummary == 0 {
			continue
		}
		for len(s.blocks) <= sw {
			s.blocks = append(s.blocks, block{before: uint32(len(s.words))})
		}
		s.blocks[sw].summary = bitsOfSummary
		for b := bitsOfSummary; b != 0; b &= b - 1 {
			s.words = append(s.words, d.words[sw*64+bits.TrailingZeros64(b)])
		}
	}
	return s
}

// sparse is a set of rules without its zero words. The word that a summary
// bit stands for is found by counting the bits before it.
type sparse struct {
	blocks []block
	words  []uint64
}

type block struct {
	summary uint64
	before  uint32 // words of the blocks before this one
}

func (s *sparse) summary(sw int) uint64 {
	if sw >= len(s.blocks) {
		return 0
	}
	return s.blocks[sw].summary
}

func (s *sparse) word(w int) uint64 {
	sw, bit := w/64, uint64(1)<<(w%64)
	if s.summary(sw)&bit == 0 {
		return 0
	}
	b := s.blocks[sw]
	return s.words[int(b.before)+bits.OnesCount64(b.summary&(bit-1))]
}
