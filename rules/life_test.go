package rules

import (
	"reflect"
	"testing"
)

// A rule goes on with the counters of the one it succeeds.
func TestSucceed(t *testing.T) {
	c := conn("1.1.1.1:1", "2.2.2.2:2")
	old := New([]*Rule{faulty("a", Lose), always("gone", Match{})})
	for range 3 {
		old.First(c)
	}
	a := old.Rules()[0]
	a.Fire(0)
	next := New([]*Rule{faulty("a", Duplicate, Lose), always("new", Match{})})
	next.Succeed(old)
	r, ordinal := next.First(c)
	if r.Name != "a" || ordinal != 4 || r.Reached() != 4 || r.Taken() != 4 || r.Fired() != 1 || a.Taken() != 4 {
		t.Errorf("%q: ordinal %d, reached %d, taken %d, fired %d", r.Name, ordinal, r.Reached(), r.Taken(), r.Fired())
	}
	if n := next.Rules()[1]; n.Reached() != 0 {
		t.Error("a rule with a new name has counters")
	}

	// The same rule in the next set is still itself.
	again := New(next.Rules())
	again.Succeed(next)
	if again.Rules()[0] != r || r.Taken() != 4 {
		t.Error("a rule that stays was changed")
	}
	var none *Set
	again.Succeed(none)
	none.Succeed(again)
}

// Stop ends a rule and those before it, and not the ones after it.
func TestStop(t *testing.T) {
	first := always("a", Match{})
	New([]*Rule{first})
	second := always("a", Match{})
	second.Succeed(first)
	New([]*Rule{second})
	if first.Stopped() || second.Stopped() {
		t.Error("stopped from the start")
	}
	second.Stop()
	third := always("a", Match{})
	third.Succeed(second)
	New([]*Rule{third})
	if !first.Stopped() || !second.Stopped() || third.Stopped() {
		t.Errorf("stopped: %v %v %v", first.Stopped(), second.Stopped(), third.Stopped())
	}
	third.Resume()
	if first.Stopped() {
		t.Error("not resumed")
	}
	var none *Rule
	if !none.Stopped() {
		t.Error("no rule acts")
	}
}

// Rules that were never in a set can be asked.
func TestUnborn(t *testing.T) {
	r := &Rule{}
	r.Fire(0)
	if r.Reached()+r.Taken()+r.Fired() != 0 || r.Stopped() || !r.Enabled() {
		t.Error("a rule without a set is odd")
	}
}

func TestDisabledCountsNothing(t *testing.T) {
	c := conn("1.1.1.1:1", "2.2.2.2:2")
	off := always("off", Match{})
	off.SetEnabled(false)
	s := New([]*Rule{off, always("on", Match{})})
	wantFirst(t, s, c, "on")
	if off.Reached() != 0 {
		t.Error("a disabled rule counts")
	}
	off.SetEnabled(true)
	wantFirst(t, s, c, "off")
}

// Copy forgets no field that says something.
func TestCopy(t *testing.T) {
	r := &Rule{}
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		switch f.Type.Kind() {
		case reflect.String:
			v.Field(i).SetString("x")
		case reflect.Bool:
			v.Field(i).SetBool(true)
		case reflect.Uint8, reflect.Uint64:
			v.Field(i).SetUint(3)
		case reflect.Slice:
			v.Field(i).Set(reflect.MakeSlice(f.Type, 2, 2))
		}
	}
	r.Match.Every, r.Profiles[1].MSS = 5, Some(1200)
	r.SetEnabled(false)
	c := reflect.ValueOf(r.Copy()).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !reflect.DeepEqual(v.Field(i).Interface(), c.Field(i).Interface()) {
			t.Errorf("the copy's %s is %v", f.Name, c.Field(i))
		}
	}
	if r.Copy().Enabled() {
		t.Error("the copy is enabled")
	}
}

// faulty is a rule whose faults do some things to data.
func faulty(name string, what ...Do) *Rule {
	r := always(name, Match{})
	for _, do := range what {
		r.Faults = append(r.Faults, Fault{On: Data, Do: do})
	}
	return r
}

// A fault that says the same goes on counting, wherever it stands now.
func TestEachFaultCounts(t *testing.T) {
	old := faulty("a", Lose, Lose, Corrupt)
	old.Streams = []Policy{{Do: Discard}, {Do: Limit}}
	New([]*Rule{old})
	for i, n := range []int{1, 2, 4} {
		for range n {
			old.Fire(i)
		}
	}
	old.FireStream(1)
	next := faulty("a", Corrupt, Duplicate, Lose, Lose, Lose)
	next.Streams = []Policy{{Do: Limit}}
	next.Succeed(old)
	for i, want := range []uint64{4, 0, 1, 2, 0} {
		if n := next.FaultFired(i); n != want {
			t.Errorf("fault %d has acted %d times, want %d", i, n, want)
		}
	}
	// What the old version still does is counted in both.
	old.Fire(2)
	if n := next.FaultFired(0); n != 5 || next.StreamFired(0) != 1 || next.Fired() != 9 {
		t.Errorf("%d times, the policy %d, all %d", n, next.StreamFired(0), next.Fired())
	}
	if (&Rule{Faults: old.Faults}).FaultFired(0) != 0 {
		t.Error("a rule without a set has counters")
	}
}
