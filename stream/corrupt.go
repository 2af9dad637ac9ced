package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// splitFrom is the distance of corrupted octets from which on only they are
// copied; when they lie closer, the whole chunk is.
const splitFrom = 4 << 10

// corrupt changes one bit of one octet in every so many of a range.
type corrupt struct {
	from, to uint64
	every    uint64
	chance   chance
	seen     uint64
	report   reporter
}

func newCorrupt(r *rules.Policy) maker {
	from, to := bounds(r.Range)
	if from >= to {
		return nil
	}
	every := max(r.Every, 1)
	return func(p *Pipeline) stage {
		return &corrupt{from: from, to: to, every: every, chance: p.chance(), report: p.reporter()}
	}
}

// next is the position of the first octet, not before at, that is to be
// changed, and the bit; ok is false if there is none.
func (s *corrupt) next(at uint64) (pos uint64, bit byte, ok bool) {
	if at < s.from {
		at = s.from
	}
	// Each block of every octets, counted from the start of the range, has
	// one; if that of this block is past, it is the next block's.
	for block := (at - s.from) / s.every; ; block++ {
		r := s.chance.bits(block)
		start := s.from + block*s.every
		pos = start + (r>>3)%s.every
		if start < s.from || pos < start || pos >= s.to {
			return 0, 0, false
		}
		if pos >= at {
			return pos, 1 << (r & 7), true
		}
	}
}

func (s *corrupt) run(p *Pipeline, _ endpoint.Time, in, out *queue) endpoint.Time {
	for !in.empty() && !out.full() {
		n := len(in.at(0).chunk.Data)
		pos, bit, ok := s.next(s.seen)
		switch {
		case !ok || pos-s.seen >= uint64(n):
			out.push(in.take(n))
		case s.every < splitFrom:
			s.report.tellOnce(p, pos, 1)
			n = s.copyAll(p, in, out)
		case pos > s.seen:
			n = int(pos - s.seen)
			out.push(in.take(n))
		default:
			s.report.tellOnce(p, pos, 1)
			n = 1
			it := in.take(1)
			c := alloc(p.pool, 1)
			c.Data = append(c.Data, it.chunk.Data[0]^bit)
			it.chunk.Release()
			it.chunk = c
			out.push(it)
		}
		s.seen += uint64(n)
	}
	if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}

// copyAll changes a copy of the first item and returns its length.
func (s *corrupt) copyAll(p *Pipeline, in, out *queue) int {
	it := in.take(endpoint.SlabSize)
	n := len(it.chunk.Data)
	c := alloc(p.pool, n)
	c.Data = append(c.Data, it.chunk.Data...)
	for at := s.seen; ; {
		pos, bit, ok := s.next(at)
		if !ok || pos-s.seen >= uint64(n) {
			break
		}
		c.Data[pos-s.seen] ^= bit
		at = pos + 1
	}
	it.chunk.Release()
	it.chunk = c
	out.push(it)
	return n
}
