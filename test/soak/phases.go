package soak

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"tcpmitm/control"
	"tcpmitm/test/lab"
)

// gatewayText is the configuration but for its rules.
func gatewayText(p *Plan) string {
	return fmt.Sprintf(`metrics = "127.0.0.1:%d"

[intercept]
client_side = ["lan0"]

[limits]
half_open = 200

[journal]
file = %q
size = "8MiB"
keep = 1

`, metricsPort, p.journal)
}

// controlLimit bounds one question or change.
const controlLimit = 20 * time.Second

// conductor changes the rules while the traffic goes on.
type conductor struct {
	plan  *Plan
	lab   *lab.Lab
	proxy *lab.Proxy
	ask   *control.Client
	tally *tally
	begun time.Time

	phases, reloads, changes, refused int
	rough, calm                       int // phases

	mu    sync.Mutex
	fired map[string]uint64 // how often each kind of fault has acted, in rules that are gone
}

// text is the configuration of a phase.
func (c *conductor) text(phase int, faults bool) string {
	left := c.plan.Duration - time.Since(c.begun)
	return gatewayText(c.plan) + drawRules(c.plan, phase, faults, left > corpseTime)
}

// run goes through phases until the time is over, and leaves no faults.
func (c *conductor) run(ctx context.Context) {
	d := c.plan.stream("phases")
	// The first is without faults, so that there is something to compare with.
	kind := "calm"
	for ctx.Err() == nil {
		c.phases++
		lossy := false
		switch kind {
		case "calm":
			c.calm++
			c.read(ctx, c.text(c.phases, false), c.phases, d)
		case "rough":
			c.rough++
			lossy = true
			c.lose(0.002 + 0.01*d.Float64())
			fallthrough
		default:
			c.read(ctx, c.text(c.phases, true), c.phases, d)
		}
		c.change(ctx, d, c.plan.phase()/2+d.between(0, c.plan.phase()))
		if lossy {
			c.find()
		}
		kind = pick(d, "faults", "faults", "faults", "rough", "calm")
	}
	end, cancel := context.WithTimeout(context.Background(), controlLimit)
	defer cancel()
	c.phases++
	c.read(end, c.text(c.phases, false), c.phases, d)
}

// read puts new rules in force: by SIGHUP, or by the control interface.
func (c *conductor) read(ctx context.Context, text string, phase int, d draws) {
	c.collect()
	c.lab.ConfigFile("config.toml", text, c.proxy.Socket)
	live := d.chance(0.2)
	if d.chance(0.5) {
		if err := c.proxy.Signal(syscall.SIGHUP); err != nil {
			c.tally.fail("SIGHUP", err)
			return
		}
		c.awaitRules(ctx, fmt.Sprintf("phase %d,", phase))
	} else if _, err := c.ask.ReloadRules(ctx, live); err != nil && ctx.Err() == nil {
		c.tally.fail("reload of the rules", err)
	}
	c.reloads++
}

// awaitRules waits until the rules of a phase are in force.
func (c *conductor) awaitRules(ctx context.Context, name string) {
	for deadline := time.Now().Add(controlLimit); ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		list, err := c.ask.Rules(ctx)
		if err == nil && len(list.List) > 0 && strings.HasPrefix(list.List[0].Name, name) {
			return
		}
		if time.Now().After(deadline) {
			c.tally.fail("SIGHUP", fmt.Errorf("the rules of %q are not in force within %v: %w", name, controlLimit, err))
			return
		}
	}
}

// change switches and changes single rules for as long as a phase lasts.
func (c *conductor) change(ctx context.Context, d draws, length time.Duration) {
	for end := time.Now().Add(length); ctx.Err() == nil; {
		wait := min(d.between(length/20, length/4), time.Until(end))
		if wait <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := c.changeOne(ctx, d); err != nil && ctx.Err() == nil {
			c.tally.fail("change of a rule", err)
		}
	}
}

func (c *conductor) changeOne(ctx context.Context, d draws) error {
	list, err := c.ask.Rules(ctx)
	if err != nil {
		return err
	}
	// The first one makes bursts short, and the last one is for all: they stay.
	r := list.List[1+d.IntN(len(list.List)-2)]
	switch d.IntN(4) {
	case 0:
		_, err = c.ask.SwitchRule(ctx, r.Name, !r.Enabled, d.chance(0.5))
	case 1:
		_, err = c.ask.SetRule(ctx, &control.RuleChange{Name: r.Name, Set: []string{fmt.Sprintf("probability=%.2f", 0.1+0.9*d.Float64())}, Live: d.chance(0.3)})
	case 2:
		_, err = c.ask.SetRule(ctx, &control.RuleChange{Name: r.Name, Set: []string{fmt.Sprintf("seed=%d", d.Uint32())}})
	default:
		return c.breakFile(ctx)
	}
	c.changes++
	return err
}

// breakFile has a file read that is wrong: nothing may come of it.
func (c *conductor) breakFile(ctx context.Context) error {
	right, err := os.ReadFile(c.proxy.Config)
	if err != nil {
		return err
	}
	before, err := c.ask.Rules(ctx)
	if err != nil {
		return err
	}
	c.lab.File("config.toml", string(right)+"\n[[rule]]\nname = \"wrong\"\nfaults = 7\n")
	_, err = c.ask.ReloadRules(ctx, false)
	c.lab.File("config.toml", string(right))
	if err == nil {
		return fmt.Errorf("a file that is wrong was read")
	}
	after, err := c.ask.Rules(ctx)
	if err != nil {
		return err
	}
	if len(before.List) != len(after.List) || before.List[0].Name != after.List[0].Name {
		return fmt.Errorf("a file that is wrong has changed the rules")
	}
	c.refused++
	return nil
}

// lose makes both hosts lose packets; find ends that.
func (c *conductor) lose(share float64) {
	c.lab.Client.Lose(share)
	c.lab.Server.Lose(share)
}

func (c *conductor) find() {
	c.lab.Client.LoseNothing()
	c.lab.Server.LoseNothing()
}

// kindsOfFault are the words of what faults and policies of drawn rules do.
var kindsOfFault = []string{
	"delay", "drop", "duplicate", "reorder", "corrupt", "split", "rewrite", "stall", "dribble", "withhold-acks", "stretch-acks",
	"duplicate-acks", "reset", "refuse", "accept-then-die", "icmp", "ignore", "vanish", "fin",
	"latency", "throttle", "slice", "hold-until", "limit",
}

// kindOf is what a fault or a policy does, from its text: client in data drop
// first 1, or to client latency by 1ms.
func kindOf(text string) string {
	w := strings.Fields(text)
	at := 2
	if len(w) > 1 && w[1] == "in" {
		at = 3
	}
	if len(w) <= at {
		return text
	}
	return w[at]
}

// collect adds what the rules have done that are in force, before others take
// their place.
func (c *conductor) collect() {
	ctx, cancel := context.WithTimeout(context.Background(), controlLimit)
	defer cancel()
	list, err := c.ask.Rules(ctx)
	if err != nil {
		c.tally.fail("list of the rules", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range list.List {
		r := &list.List[i]
		if r.Action != "splice" {
			c.fired["action "+r.Action] += r.Taken
		}
		for _, e := range r.Each {
			c.fired[kindOf(e.Text)] += e.Count
		}
	}
}
