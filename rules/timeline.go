package rules

import "time"

// Span is a time in which a rule is in force: from At after the start, for
// For; For 0 is without end.
type Span struct{ At, For time.Duration }

// Contains tells whether at lies in the span.
func (s Span) Contains(at time.Duration) bool {
	return at >= s.At && (s.For == 0 || at-s.At < s.For)
}

// InForce tells whether the rule matches new connections at a time since the
// program's start: it is enabled and its timeline, if it has one, says so.
func (r *Rule) InForce(at time.Duration) bool {
	return r.Enabled() && r.timed(at)
}

func (r *Rule) timed(at time.Duration) bool {
	for _, s := range r.Timeline {
		if s.Contains(at) {
			return true
		}
	}
	return len(r.Timeline) == 0
}

// NextChange is how long after at the timeline next takes the rule in or out
// of force; 0 is never.
func (r *Rule) NextChange(at time.Duration) time.Duration {
	next := time.Duration(0)
	for _, s := range r.Timeline {
		for _, border := range [...]time.Duration{s.At, s.At + s.For} {
			// The end of one span may be the beginning of the next.
			if border > at && (next == 0 || border < next) && r.timed(border) != r.timed(at) {
				next = border
			}
		}
	}
	return max(0, next-at)
}
