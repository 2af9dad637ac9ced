package endpoint

import (
	"math"
	"time"
)

// Time is a moment on the caller's monotonic clock, in nanoseconds since an
// epoch that the caller chooses. It is positive in normal operation; the zero
// Time means "never happened".
type Time int64

// Never is later than every moment: the deadline of a timer that is not armed.
const Never Time = math.MaxInt64

// Add returns the moment d after t; Never stays Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never || d > 0 && t > Never-Time(d) {
		return Never
	}
	return t + Time(d)
}

// Sub returns the time that passed from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

func earliest(a, b Time) Time { return min(a, b) }
