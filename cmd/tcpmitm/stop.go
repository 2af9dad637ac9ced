package main

import (
	"os"
	"time"

	"tcpmitm/splice"
)

// drainLook is how often a drain looks whether it is over.
const drainLook = 100 * time.Millisecond

// wait returns when a signal asks for the end, or with the error of a shard
// that cannot go on. At each hangup the rules are read again.
func (g *gateway) wait(signals, hangups <-chan os.Signal) error {
	for {
		select {
		case <-hangups:
			g.reloadTold()
		case sig := <-signals:
			g.log.Info("stopping", "signal", sig.String(), "connections", g.connections())
			return nil
		case err := <-g.failed:
			g.log.Error("stopping", "error", err)
			return err
		}
	}
}

// stop ends the interception: new connections pass at once, old ones have as
// long as drain says, then both their peers get a RST. The rules go after
// that, because the way of those RSTs through the host's filter is one of
// them. A second signal ends the drain, a third one the process: then the
// guard removes the rules.
func (g *gateway) stop(signals <-chan os.Signal) error {
	hurry, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	g.stopTold()
	go func() {
		select {
		case <-signals:
			close(hurry)
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	g.each(func(s *splice.Shard) { s.Drain() })
	g.drain(hurry)
	g.each(func(s *splice.Shard) { s.Shutdown(s.Now()) })
	return g.down()
}

// drain waits until the last connection has ended.
func (g *gateway) drain(hurry <-chan struct{}) {
	limit := g.conf.Intercept.Drain
	if limit == 0 || g.connections() == 0 {
		return
	}
	g.log.Info("stopping: waiting for connections to end", "at_most", limit)
	over := time.After(limit)
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for g.connections() > 0 {
		select {
		case <-hurry:
			return
		case <-over:
			return
		case <-look.C:
		}
	}
}

// each runs a function on every shard's goroutine. A shard that has stopped
// has nothing left to be told.
func (g *gateway) each(f func(*splice.Shard)) {
	for _, s := range g.shards {
		for s.Do(f) == splice.ErrBusy {
			time.Sleep(time.Millisecond)
		}
	}
}

// connections is how many there are.
func (g *gateway) connections() (n int) {
	g.each(func(s *splice.Shard) { n += s.Counters().Flows })
	return n
}
