package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// limit ends the direction after so many octets. What comes later is dropped,
// so that the sender is not held up by it.
type limit struct {
	left   uint64
	bytes  uint64
	then   rules.Ending
	report reporter
}

func newLimit(r *rules.Policy) maker {
	bytes, then := r.Bytes, r.Then
	return func(p *Pipeline) stage {
		return &limit{left: bytes, bytes: bytes, then: then, report: p.reporter()}
	}
}

func (s *limit) run(p *Pipeline, _ endpoint.Time, in, out *queue) endpoint.Time {
	for s.left > 0 && !in.empty() && !out.full() {
		it := in.take(int(min(s.left, maxHeld)))
		s.left -= uint64(len(it.chunk.Data))
		out.push(it)
	}
	if s.left == 0 {
		if !out.over {
			s.report.tell(p, s.bytes, 0)
			out.end(s.then)
		}
		for !in.empty() {
			in.drop(in.octets)
		}
	} else if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}
