package endpoint

import "testing"

func TestUndoCountsExactlyWhatWasSentAgain(t *testing.T) {
	r := func(a, b Seq) Range { return Range{a, b} }
	for _, test := range []struct {
		why    string
		resent []Range
		dups   []Range
		undo   bool // with the last report
	}{
		{"the one segment", []Range{r(1000, 2000)}, []Range{r(1000, 2000)}, true},
		{"one of two", []Range{r(1000, 2000), r(5000, 6000)}, []Range{r(1000, 2000)}, false},
		{"both, in any order", []Range{r(1000, 2000), r(5000, 6000)}, []Range{r(5000, 6000), r(1000, 2000)}, true},
		{"one of them twice", []Range{r(1000, 2000), r(5000, 6000)}, []Range{r(1000, 2000), r(1000, 2000)}, false},
		{"sent again twice, reported once", []Range{r(1000, 2000), r(1000, 2000)}, []Range{r(1000, 2000)}, false},
		{"sent again twice, reported twice", []Range{r(1000, 2000), r(1000, 2000)}, []Range{r(1000, 2000), r(1000, 2000)}, true},
		{"the network's duplicate", []Range{r(1000, 2000)}, []Range{r(3000, 4000)}, false},
		{"more than was sent again", []Range{r(1000, 2000)}, []Range{r(1000, 3000)}, false},
		{"a super-segment, packet by packet", []Range{r(1000, 4000)}, []Range{r(2000, 3000), r(1000, 2000), r(3000, 4000)}, true},
		{"neighbours, reported as one", []Range{r(1000, 2000), r(2000, 3000)}, []Range{r(1000, 3000)}, true},
		{"across the wrap", []Range{r(0xfffffe00, 0x200)}, []Range{r(0xfffffe00, 0), r(0, 0x200)}, true},
		{"nothing was sent again", nil, []Range{r(1000, 2000)}, false},
	} {
		u := &undoState{sent: Never}
		for _, x := range test.resent {
			u.note(1, x)
		}
		got := false
		for i, d := range test.dups {
			if got = u.duplicate(d); got && i < len(test.dups)-1 {
				t.Errorf("%s: undone after %d reports", test.why, i+1)
			}
		}
		if got != test.undo {
			t.Errorf("%s: undo is %v", test.why, got)
		}
	}
}

func TestUndoAccountIsBounded(t *testing.T) {
	u := &undoState{sent: Never}
	for i := range 2 * maxResent {
		u.note(1, Range{Seq(2000 * i), Seq(2000*i + 1000)})
	}
	if len(u.resent) != maxResent {
		t.Errorf("%d ranges are kept, wanted %d", len(u.resent), maxResent)
	}
	for i := range 2 * maxResent {
		if u.duplicate(Range{Seq(2000 * i), Seq(2000*i + 1000)}) {
			t.Fatal("an incomplete account was undone")
		}
	}
}

// A timeout within fast recovery goes back to before both.
func TestUndoReachesBackOverBoth(t *testing.T) {
	cfg := DefaultConfig()
	e := NewActive(1, &cfg, testOpen(1))
	e.cong.init(&cfg, 1000, 1)
	e.cong.cwnd, e.cong.ssthresh = 50_000, 60_000
	e.rememberForUndo(false)
	e.cong.onLoss(1, 50_000)
	e.cong.cwnd = e.cong.ssthresh
	e.rememberForUndo(true)
	e.cong.onTimeout(1, 50_000, true)
	e.undo()
	if e.cong.cwnd != 50_000 || e.cong.ssthresh != 60_000 {
		t.Errorf("cwnd %d, ssthresh %d, wanted 50000 and 60000", e.cong.cwnd, e.cong.ssthresh)
	}
}
