package endpoint

import (
	"strconv"
	"strings"
	"time"
)

// fixedHold holds each segment of a kind for the same time, and counts how
// often it is asked.
type fixedHold struct {
	by    [numHeld]time.Duration
	asked [numHeld]int
}

func (h *fixedHold) Hold(_ Time, k HeldKind) time.Duration {
	h.asked[k]++
	return h.by[k]
}

// faults carries out the commands of a script that faults are made of.
func (s *script) faults(verb, rest string) {
	kinds := map[string]HeldKind{"syn-ack": HeldSYNACK, "ack": HeldACK, "last-ack": HeldLastACK, "fin": HeldFIN}
	what, count, _ := strings.Cut(rest, " ")
	k, known := kinds[what]
	switch {
	case verb == "release" && known:
		s.e.ReleaseHeld(s.now, k)
	case verb == "asked" && known:
		if n, err := strconv.Atoi(count); err != nil || n != s.hold.asked[k] {
			s.fail("asked %d times", s.hold.asked[k])
		}
	case verb == "repeatack":
		n, err := strconv.Atoi(rest)
		if err != nil {
			s.fail("%v", err)
		}
		s.e.RepeatACK(s.now, n)
	case verb == "tune":
		s.e.Tune(s.now, s.tuning(rest))
	default:
		s.fail("bad command")
	}
}

func (s *script) tuning(rest string) (t Tuning) {
	for word := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "window":
			t.Limited, t.Window = true, n
		case "withhold":
			t.WithholdACKs = true
		case "stretch":
			t.StretchACKs = n
		case "deferfin":
			t.DeferFIN = true
		default:
			s.fail("bad word %q", word)
		}
	}
	return t
}
