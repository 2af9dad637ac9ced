package stream

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// hold lets nothing pass before a moment, a time or so many octets.
type hold struct {
	until  Moments
	by     time.Duration
	bytes  uint64
	since  endpoint.Time
	begun  bool
	open   bool
	report reporter
}

func newHold(r *rules.Policy) maker {
	h := hold{by: max(r.By, 0), bytes: r.Bytes}
	if r.Until.Set {
		h.until = Of(r.Until.Value)
	}
	if h.until == 0 && h.by == 0 && h.bytes == 0 {
		return nil
	}
	return func(p *Pipeline) stage {
		s := h
		s.report = p.reporter()
		return &s
	}
}

func (s *hold) deep() bool { return true }

func (s *hold) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	if !s.begun {
		s.begun, s.since = true, now
	}
	if !s.open {
		due := s.since.Add(s.by)
		switch {
		case s.until&p.passed != 0,
			s.by > 0 && now >= due,
			s.bytes > 0 && (uint64(in.octets) >= s.bytes || in.over),
			p.crowded():
			s.open = true
			s.report.tell(p, 0, in.octets)
		case s.by > 0:
			return due
		default:
			return endpoint.Never
		}
	}
	in.moveTo(out)
	if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}
