package stream

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// slice cuts the stream into pieces that want a segment each. A piece is made
// when the one before it has gone; what has come as less than a piece is one.
type slice struct {
	size   int
	gap    time.Duration
	after  endpoint.Time // when the next piece may go
	passed uint64
	report reporter
}

func newSlice(r *rules.Policy) maker {
	if r.Size <= 0 {
		return nil
	}
	size, gap := r.Size, max(r.Gap, 0)
	return func(p *Pipeline) stage { return &slice{size: size, gap: gap, report: p.reporter()} }
}

func (s *slice) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	if !in.empty() && out.wants() {
		if now < s.after {
			return s.after
		}
		s.report.tellOnce(p, s.passed, 0)
		s.after = now.Add(s.gap)
		it := in.take(s.size)
		it.alone = true
		s.passed += uint64(len(it.chunk.Data))
		out.push(it)
	}
	if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}
