package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// discard leaves a range of octets out.
type discard struct {
	from, to uint64
	seen     uint64
	report   reporter
}

func newDiscard(r *rules.Policy) maker {
	from, to := bounds(r.Range)
	if from >= to {
		return nil
	}
	return func(p *Pipeline) stage { return &discard{from: from, to: to, report: p.reporter()} }
}

func (s *discard) run(p *Pipeline, _ endpoint.Time, in, out *queue) endpoint.Time {
	for !in.empty() && !out.full() {
		n := len(in.at(0).chunk.Data)
		switch {
		case s.seen < s.from:
			n = int(min(uint64(n), s.from-s.seen))
			out.push(in.take(n))
		case s.seen < s.to:
			n = int(min(uint64(n), s.to-s.seen))
			s.report.tellOnce(p, s.seen, n)
			in.drop(n)
		default:
			out.push(in.take(n))
		}
		s.seen += uint64(n)
	}
	if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}
