package lab

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// judgeRules are what plays need of the gateway beside its defaults, by the
// server's port.
const judgeRules = clientSide + `
[[rule]]
name   = "short TIME-WAIT"
match  = { ports = [7100] }
[rule.client]
time_wait = "2s"
[rule.server]
time_wait = "2s"

[[rule]]
name   = "small windows"
match  = { ports = [7200] }
[rule.client]
window = 4096
window_scale = false
[rule.server]
window = 4096
window_scale = false

[[rule]]
name   = "keep-alive"
match  = { ports = [7300] }
[rule.client]
keep_alive = { idle = "1s", interval = "1s", count = 2 }
`

// judgeAtOnce bounds the plays that are played at the same time.
const judgeAtOnce = 100

// judgePorts counts the ports that plays have had, so that no two meet.
var judgePorts atomic.Uint32

// judgeCourt is a gateway with a judge on each side.
type judgeCourt struct {
	l     *Lab
	proxy *Proxy
	hosts *judgeHosts
}

func newJudgeCourt(t *testing.T) *judgeCourt {
	t.Helper()
	l := New(t, Options{NoOffload: true})
	c := &judgeCourt{l: l, hosts: &judgeHosts{}}
	c.hosts.client = newJudgeHost(t, l, l.Client, lanDevice, clientMAC, lanMAC, judgeClient4, judgeClient6)
	c.hosts.server = newJudgeHost(t, l, l.Server, wanDevice, serverMAC, wanMAC, judgeServer4, judgeServer6)
	c.proxy = l.StartProxy(judgeRules)
	return c
}

// addresses gives a play a tuple of its own. kernel names the end at which a
// real socket is: 'c', 's' or none.
func (c *judgeCourt) addresses(f Family, port uint16, kernel byte) (client, server netip.AddrPort) {
	n := judgePorts.Add(1)
	from, to := f.pick(judgeClient4, judgeClient6), f.pick(judgeServer4, judgeServer6)
	if kernel == 'c' {
		from = f.Client()
	}
	if kernel == 's' {
		to = f.Server()
	}
	if port == 0 {
		port = uint16(10000 + n%20000)
	}
	return netip.AddrPortFrom(from, uint16(33000+n%20000)), netip.AddrPortFrom(to, port)
}

// judge plays all plays at once, for both families, and reports on each.
func (c *judgeCourt) judge(t *testing.T, plays []play) {
	t.Helper()
	type done struct{ name, failure string }
	var results []*done
	var all sync.WaitGroup
	slots := make(chan struct{}, judgeAtOnce)
	for i := range plays {
		for _, f := range []Family{IPv4, IPv6} {
			p := &plays[i]
			if p.only != 0 && p.only != f {
				continue
			}
			r := &done{name: fmt.Sprintf("%s/%s", p.name, f)}
			results = append(results, r)
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				s := &stage{l: c.l, f: f, play: p, log: &judgeLog{}, legs: map[byte]*judgeLeg{}, hosts: c.hosts}
				s.client, s.server = c.addresses(f, p.port, p.kernel())
				r.failure = s.perform()
			})
		}
	}
	all.Wait()
	for _, r := range results {
		if r.failure != "" {
			t.Errorf("%s: %s", r.name, r.failure)
		}
	}
	t.Logf("%d plays", len(results))
}

// TestJudge judges the running program from outside, with TCPs of the judge's
// own on one or both ends.
func TestJudge(t *testing.T) {
	c := newJudgeCourt(t)
	t.Run("handshake", func(t *testing.T) { c.judge(t, handshakePlays) })
	t.Run("simultaneous", func(t *testing.T) { c.judge(t, simultaneousPlays) })
	t.Run("data", func(t *testing.T) { c.judge(t, dataPlays) })
	t.Run("flow", func(t *testing.T) { c.judge(t, flowPlays) })
	t.Run("attacks", func(t *testing.T) { c.judge(t, attackPlays) })
	t.Run("close", func(t *testing.T) { c.judge(t, closePlays) })
	t.Run("windows", func(t *testing.T) { judgeWindows(t, c) })
	t.Run("arrives", func(t *testing.T) { judgeArrivals(t, c) })
	t.Run("options", func(t *testing.T) { c.judge(t, optionPlays()) })
}
