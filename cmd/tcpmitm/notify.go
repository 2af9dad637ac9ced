package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// stopMargin is what a stop may take beside the drain.
const stopMargin = 10 * time.Second

// manager is the service manager that has started us, if it wants to be told
// of our state (sd_notify(3)). Without one nothing is said.
type manager struct{ log *slog.Logger }

func (m manager) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

func (m manager) ready(connections int) {
	m.say(fmt.Sprintf("%s\nSTATUS=intercepting, %d connections", daemon.SdNotifyReady, connections))
}

// reloading has to say when it was, so that the manager can tell which reload
// a later READY belongs to.
func (m manager) reloading() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	m.say(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000))
}

// stopping asks for the time that the drain may take.
func (m manager) stopping(drain time.Duration) {
	m.say(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d\nSTATUS=stopping, waits at most %v for connections to end",
		daemon.SdNotifyStopping, (drain + stopMargin).Microseconds(), drain))
}

// guardLife tells the service manager that we are alive, twice as often as it
// wants, for as long as every shard answers. If one does not, nothing more is
// said, and the manager ends us and starts another one. It ends with the
// shards.
func (g *gateway) guardLife() {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		g.log.Warn("the service manager's watchdog is not to be understood", "error", err)
	}
	if every <= 0 {
		return
	}
	m := manager{g.log}
	over := make(chan struct{})
	g.later(func() error { close(over); return nil })
	go func() {
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		for {
			m.say(fmt.Sprintf("%s\nSTATUS=intercepting, %d connections", daemon.SdNotifyWatchdog, g.connections()))
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
}

// reloadTold has the rules read again, and the service manager told.
func (g *gateway) reloadTold() {
	m := manager{g.log}
	m.reloading()
	// What is wrong stands in the log.
	_, _ = g.rulebook.Reload(false)
	m.ready(g.connections())
}

// stopTold begins a stop.
func (g *gateway) stopTold() { manager{g.log}.stopping(g.conf.Intercept.Drain) }
