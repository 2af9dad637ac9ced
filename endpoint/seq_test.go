package endpoint

import "testing"

func TestSeqComparesModulo32Bits(t *testing.T) {
	for _, c := range []struct {
		a, b   Seq
		before bool
		to     int
	}{
		{0, 1, true, 1},
		{1, 0, false, -1},
		{0xffffffff, 0, true, 1},
		{0xfffffff0, 0x10, true, 0x20},
		{0x10, 0xfffffff0, false, -0x20},
		{0, 0x7fffffff, true, 0x7fffffff},
		{5, 5, false, 0},
	} {
		if c.a.Before(c.b) != c.before || c.b.After(c.a) != c.before {
			t.Errorf("%d before %d: wanted %v", c.a, c.b, c.before)
		}
		if got := c.a.To(c.b); got != c.to {
			t.Errorf("%d to %d is %d, wanted %d", c.a, c.b, got, c.to)
		}
		if c.a.Plus(c.to) != c.b {
			t.Errorf("%d plus %d is not %d", c.a, c.to, c.b)
		}
	}
}
