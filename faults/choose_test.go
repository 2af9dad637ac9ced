package faults

import (
	"math"
	"slices"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// lost tells which of n segments of ten octets each, 10 ms apart, a fault
// takes, counted from 1.
func lost(t *testing.T, w rules.Which, n int) (out []int) {
	t.Helper()
	b := newBench(t, data(rules.Lose, w))
	b.open(server)
	for i := range n {
		b.lines = nil
		b.give(server, true, ack, 1+10*i, 10)
		if len(b.lines) == 0 {
			out = append(out, i+1)
		}
		b.after(10 * ms)
	}
	return out
}

func TestWhichSegments(t *testing.T) {
	for name, c := range map[string]struct {
		w    rules.Which
		want []int
	}{
		"all":              {rules.Which{}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"all, said":        {rules.Which{Probability: 1}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"nth":              {rules.Which{Nth: 4}, []int{4}},
		"first":            {rules.Which{First: 3}, []int{1, 2, 3}},
		"every":            {rules.Which{Every: 4}, []int{4, 8}},
		"every of first":   {rules.Which{Every: 2, First: 5}, []int{2, 4}},
		"bytes":            {rules.Which{Bytes: rules.Octets{From: 15, To: 31}}, []int{2, 3, 4}},
		"bytes, to border": {rules.Which{Bytes: rules.Octets{From: 20, To: 30}}, []int{3}},
		"nth of bytes":     {rules.Which{Nth: 2, Bytes: rules.Octets{From: 50, To: 100}}, []int{7}},
		"after":            {rules.Which{After: 70 * ms}, []int{8, 9, 10}},
		"for":              {rules.Which{For: 20 * ms}, []int{1, 2}},
		"after and for":    {rules.Which{After: 30 * ms, For: 20 * ms}, []int{4, 5}},
		"first after":      {rules.Which{First: 1, After: 55 * ms}, []int{7}},
	} {
		if got := lost(t, c.w, 10); !slices.Equal(got, c.want) {
			t.Errorf("%s: lost %v, want %v", name, got, c.want)
		}
	}
}

func TestBeforeEstablishedThereIsNoAfter(t *testing.T) {
	b := newBench(t, rules.Fault{Leg: rules.Server, On: rules.Any, Do: rules.Lose, Which: rules.Which{For: time.Hour}})
	b.give(server, true, endpoint.SYN, 0, 0)
	b.want("a SYN", "+0s server out 0:0 S")
}

func TestRetransmissions(t *testing.T) {
	for _, c := range []struct {
		again bool
		want  []string
	}{
		{true, []string{"+0s server out 1:51 .", "+0s server out 51:101 ."}},
		{false, []string{"+0s server out 51:101 .", "+0s server out 91:141 ."}},
	} {
		b := newBench(t, data(rules.Lose, rules.Which{Retransmits: rules.Some(c.again)}))
		b.open(server)
		b.give(server, true, ack, 1, 50)
		b.give(server, true, ack, 51, 50)
		b.lines = b.lines[:min(len(b.lines), 2)]
		b.give(server, true, ack, 51, 50)
		b.give(server, true, ack, 91, 50) // half of it
		b.want("retransmissions", c.want...)
	}
}

// Which segments a probability takes follows from seed, ordinal, fault and
// count alone, and the share is right.
func TestProbability(t *testing.T) {
	take := func(seed, ordinal uint64, fault int) (out []bool) {
		var c Count
		for range 10000 {
			out = append(out, c.Choose(&rules.Which{Probability: 0.1}, seed, ordinal, fault))
		}
		return out
	}
	base := take(7, 1, 0)
	n := 0.0
	for _, v := range base {
		if v {
			n++
		}
	}
	if sd := math.Sqrt(10000 * 0.1 * 0.9); math.Abs(n-1000) > 4*sd {
		t.Errorf("took %v of 10000, want about 1000", n)
	}
	if !slices.Equal(base, take(7, 1, 0)) {
		t.Error("the same seed took others")
	}
	for _, other := range [][]bool{take(8, 1, 0), take(7, 2, 0), take(7, 1, 1)} {
		if slices.Equal(base, other) {
			t.Error("another seed, ordinal or fault took the same")
		}
	}
	// Of those that are drawn, every counts.
	var c Count
	drawn, took := 0, 0
	for _, v := range base {
		got := c.Choose(&rules.Which{Probability: 0.1, Every: 3}, 7, 1, 0)
		if v {
			drawn++
		}
		if got != (v && drawn%3 == 0) {
			t.Fatal("every does not count what the draw leaves")
		}
		if got {
			took++
		}
	}
	if took < 200 {
		t.Errorf("took %d", took)
	}
}

func TestAStoppedRuleDoesNothing(t *testing.T) {
	b := newBench(t, data(rules.Lose, rules.Which{}))
	b.open(server)
	b.give(server, true, ack, 1, 10)
	b.want("lost")
	b.stage.p.rule.Stop()
	b.give(server, true, ack, 11, 250)
	b.want("in one piece", "+0s server out 11:261 .")
	b.stage.p.rule.Resume()
	b.give(server, true, ack, 261, 10)
	b.want("lost")
	if n := b.stage.p.rule.Fired(); n != 2 {
		t.Errorf("the rule counts %d", n)
	}
}

func TestCompile(t *testing.T) {
	if Compile(nil) != nil || Compile(&rules.Rule{Faults: []rules.Fault{
		{On: rules.Established, Do: rules.ResetLeg}, {On: rules.FIN, By: ms}, {On: rules.ACK, By: ms}, {On: rules.SYNACK, By: ms},
		{On: rules.SYN, Do: rules.Refuse, In: true},
	}}) != nil {
		t.Error("a program without faults on segments")
	}
	var none *Program
	if none.Touches(client, true, rules.SYN) || NewStage(none, &Wire{}, 1) != nil {
		t.Error("no program does something")
	}
	p := Compile(&rules.Rule{Faults: []rules.Fault{{Leg: rules.Server, On: rules.Any, By: ms}, {In: true, On: rules.FIN, By: ms}}})
	for _, c := range []struct {
		leg  endpoint.Leg
		out  bool
		on   rules.On
		want bool
	}{{server, true, rules.SYN, true}, {server, false, rules.SYN, false}, {client, false, rules.FIN, true}, {client, false, rules.Data, false}} {
		if p.Touches(c.leg, c.out, c.on) != c.want {
			t.Errorf("%+v", c)
		}
	}
	var s *Stage
	s.Finish()
	s.Close()
	if s.Next() != endpoint.Never || s.Held() != 0 {
		t.Error("no stage holds something")
	}
}
