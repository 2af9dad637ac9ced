package stream

import (
	"bytes"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// insert puts octets of its own before the octet at a position.
type insert struct {
	at     uint64
	with   []byte
	passed uint64
	done   bool
	report reporter
}

func newInsert(r *rules.Policy) maker {
	if len(r.With) == 0 {
		return nil
	}
	at, with := r.At, bytes.Clone(r.With)
	return func(p *Pipeline) stage { return &insert{at: at, with: with, report: p.reporter()} }
}

func (s *insert) run(p *Pipeline, _ endpoint.Time, in, out *queue) endpoint.Time {
	for !out.full() {
		if !s.done && s.passed == s.at {
			s.done = true
			s.report.tell(p, s.at, len(s.with))
			out.give(p.pool, s.with)
			continue
		}
		if in.empty() {
			break
		}
		n := in.octets
		if !s.done {
			n = int(min(uint64(n), s.at-s.passed))
		}
		it := in.take(n)
		s.passed += uint64(len(it.chunk.Data))
		out.push(it)
	}
	if in.finished() && !(s.passed == s.at && !s.done) {
		out.end(in.ending)
	}
	return endpoint.Never
}
