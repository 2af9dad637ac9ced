package nfq

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRunGuardCleansUnlessTold(t *testing.T) {
	const none = "none"
	for said, want := range map[string]string{
		"": "", "half an or": "", "orders\n": "orders", "orders\ndone\n": none, "orders\ndon": "orders",
		"orders\nx\ndone\n": "orders", "\ndone\n": none, "done\n": "done",
	} {
		got := none
		err := RunGuard(strings.NewReader(said), func(orders []byte) error { got = string(orders); return nil })
		if got != want || err != nil {
			t.Errorf("told %q: takes over with %q, want %q; error %v", said, got, want, err)
		}
	}
	oops := errors.New("oops")
	if err := RunGuard(strings.NewReader(""), func([]byte) error { return oops }); !errors.Is(err, oops) {
		t.Errorf("error of the cleaning is %v, want %v", err, oops)
	}
}

// A process that goes without a word leaves the rules to its guard.
func TestGuardRemovesTheRules(t *testing.T) {
	ns := newNamespace(t)
	before := savedRules(t, ns)
	f := newFirewall(t, Intercept{Bypass: true})
	start := func() *Guard {
		var g *Guard
		inNamespace(t, ns, func() {
			var err error
			if g, err = StartGuard([]byte("orders"), nil, guardArgument); err != nil {
				t.Error(err)
				return
			}
			if _, err := f.Install(); err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			t.FailNow()
		}
		return g
	}
	g := start()
	g.pipe.Close() // as the kernel does when the process is killed
	deadline := time.Now().Add(10 * time.Second)
	for savedRules(t, ns) != before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if after := savedRules(t, ns); after != before {
		t.Errorf("the guard left\n%s", after)
	}
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("the guard ended with %v", err)
	}

	g = start()
	installed := savedRules(t, ns)
	if err := g.Done(); err != nil {
		t.Errorf("Done: %v", err)
	}
	if savedRules(t, ns) != installed {
		t.Error("a guard that was told that nothing is to be done removed rules")
	}
	inNamespace(t, ns, func() {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	})
}
