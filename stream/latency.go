package stream

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// latency makes each octet later by a time, give or take jitter. Octets do not
// overtake each other: one that is drawn shorter than its predecessor leaves
// with it.
type latency struct {
	by, jitter time.Duration
	chance     chance
	report     reporter

	drawn   uint64        // how many times jitter was drawn
	last    endpoint.Time // when the last one leaves
	decided int           // of the items that wait, those that know when they leave
	end     endpoint.Time // when the end of the stream leaves; 0: not yet decided
	passed  uint64
}

func newLatency(r *rules.Policy) maker {
	if r.By <= 0 && r.Jitter <= 0 {
		return nil
	}
	by, jitter := max(r.By, 0), max(r.Jitter, 0)
	return func(p *Pipeline) stage {
		return &latency{by: by, jitter: jitter, chance: p.chance(), report: p.reporter()}
	}
}

func (s *latency) deep() bool { return true }

// due draws when something leaves that has come at now.
func (s *latency) due(now endpoint.Time) endpoint.Time {
	by := s.by
	if s.jitter > 0 {
		by += time.Duration(float64(2*s.chance.float(s.drawn)-1) * float64(s.jitter))
		s.drawn++
	}
	s.last = max(s.last, now.Add(max(by, 0)))
	return s.last
}

func (s *latency) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	for ; s.decided < in.len(); s.decided++ {
		s.report.tellOnce(p, s.passed, 0)
		in.at(s.decided).due = s.due(now)
	}
	if in.over && s.end == 0 {
		s.end = s.due(now)
	}
	for !in.empty() && in.at(0).due <= now {
		if out.full() {
			return endpoint.Never
		}
		it := in.take(in.octets)
		it.due = 0
		s.decided--
		s.passed += uint64(len(it.chunk.Data))
		out.push(it)
	}
	switch {
	case !in.empty():
		return in.at(0).due
	case !in.over:
		return endpoint.Never
	case s.end > now:
		return s.end
	}
	out.end(in.ending)
	return endpoint.Never
}
