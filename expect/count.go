package expect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Count is how often something is wanted.
type Count struct {
	Min uint64
	Max uint64 // if Bounded
	// Bounded tells that more than Max is wrong, so that only the end of the
	// time can say that all is well.
	Bounded bool
}

// ErrCount is what a text is that is no Count.
var ErrCount = errors.New(`write 3 for at least three times, =3 for exactly three, 2-5 for two to five, 0 for never`)

// ParseCount reads "3" (at least), "=3", "2-5", or "0" (never).
func ParseCount(text string) (Count, error) {
	number := func(s string) (uint64, bool) {
		n, err := strconv.ParseUint(s, 10, 32)
		return n, err == nil
	}
	if rest, exactly := strings.CutPrefix(text, "="); exactly {
		n, ok := number(rest)
		if !ok {
			return Count{}, fmt.Errorf("%q: %w", text, ErrCount)
		}
		return Count{n, n, true}, nil
	}
	if a, b, isRange := strings.Cut(text, "-"); isRange {
		first, ok1 := number(a)
		last, ok2 := number(b)
		if !ok1 || !ok2 || last < first {
			return Count{}, fmt.Errorf("%q: %w", text, ErrCount)
		}
		return Count{first, last, true}, nil
	}
	n, ok := number(text)
	if !ok {
		return Count{}, fmt.Errorf("%q: %w", text, ErrCount)
	}
	return Count{n, 0, n == 0}, nil
}

// String is the count in words.
func (c Count) String() string {
	switch {
	case !c.Bounded:
		return fmt.Sprintf("at least %d times", c.Min)
	case c.Max == 0:
		return "never"
	case c.Min == c.Max:
		return fmt.Sprintf("exactly %d times", c.Min)
	}
	return fmt.Sprintf("%d to %d times", c.Min, c.Max)
}

func (c Count) has(n uint64) bool { return n >= c.Min && !c.exceeded(n) }

func (c Count) exceeded(n uint64) bool { return c.Bounded && n > c.Max }
