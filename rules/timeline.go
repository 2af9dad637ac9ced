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
	if !r.Enabled() {
		return false
	}
	for _, s := range r.Timeline {
		if s.Contains(at) {
			return true
		}
	}
	return len(r.Timeline) == 0
}
