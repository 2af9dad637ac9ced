package stream

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tcpmitm/rules"
)

// Whatever a policy holds comes out in order when it is stopped, and what
// comes later passes at once.
func TestStop(t *testing.T) {
	for why, list := range map[string][]rules.Policy{
		"latency":    {{Do: rules.Latency, By: time.Hour}},
		"throttle":   {{Do: rules.Throttle, Rate: 1, Burst: 1}},
		"slice":      {{Do: rules.Slice, Size: 2, Gap: time.Hour}},
		"hold-until": {{Do: rules.HoldUntil, By: time.Hour}},
		"literal":    {{Do: rules.Replace, Find: []byte("defx"), With: []byte("-")}},
		"pattern":    {{Do: rules.Replace, Pattern: regexp.MustCompile("def+x"), With: []byte("-")}},
		"several": {
			{Do: rules.Replace, Find: []byte("defx"), With: []byte("-")},
			{Do: rules.Latency, By: time.Second},
			{Do: rules.Replace, Pattern: regexp.MustCompile("cdef+x"), With: []byte("-")},
			{Do: rules.Slice, Size: 3, Gap: time.Second},
			{Do: rules.Throttle, Rate: 10, Burst: 1},
		},
	} {
		b := newBench(t, list...)
		b.send("abcdef")
		before := b.all()
		if before == "abcdef" {
			t.Fatalf("%s holds nothing", why)
		}
		b.p.Stop()
		b.turn()
		b.want(why+": what was held", strings.TrimPrefix("abcdef", before))
		b.send("x defx deffx")
		b.want(why+": what comes later", "x defx deffx")
		if b.p.NextTimeout() < 1<<62 {
			t.Errorf("%s wants to be run again", why)
		}
		b.close()
		b.wantEnd(why, rules.EndFIN)
	}
}

// More than there is room for between the stages comes out all the same, also
// while the receiver takes little.
func TestStopMuch(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Latency, By: time.Hour}, rules.Policy{Do: rules.Throttle, Rate: 1000, Burst: 1000})
	text := strings.Repeat("0123456789abcdef", 40<<10)
	b.send(text)
	b.p.Close()
	b.p.Stop()
	for len(text) > 0 {
		b.room = 1000
		b.turn()
		got := b.all()
		if got == "" || !strings.HasPrefix(text, got) {
			t.Fatalf("%d octets are left, and out comes %.20q", len(text), got)
		}
		text = text[len(got):]
	}
	b.turn()
	b.wantEnd("stopped", rules.EndFIN)
}

// What a limit has ended stays ended.
func TestStopAfterALimit(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Limit, Bytes: 3, Then: rules.EndReset})
	b.send("abcdef")
	b.want("up to the limit", "abc")
	b.p.Stop()
	b.send("ghi")
	b.want("behind the limit", "")
	if how, ok := b.p.Ended(); !ok || how != rules.EndReset {
		t.Errorf("ended: %v, %v", how, ok)
	}
}
