package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLabSignals is how many signals may wait for a lab to look.
const maxLabSignals = 8

// labSignals are those that would end a lab without its being removed.
type labSignals struct {
	c       chan os.Signal
	ignored chan os.Signal
}

// signalError is a signal that came before the command was started.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return fmt.Sprintf("stopped by a signal: %v", e.signal) }

func catchSignals() *labSignals {
	s := &labSignals{make(chan os.Signal, maxLabSignals), make(chan os.Signal, 1)}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		// nohup(1) has had a reason.
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
	// Whoever reads our output may go away, as `head` does: then writing fails,
	// and that must not end us. Nobody receives from the channel.
	signal.Notify(s.ignored, syscall.SIGPIPE)
	return s
}

func (s *labSignals) stop() {
	signal.Stop(s.c)
	signal.Stop(s.ignored)
}

// typed tells whether a signal may have been typed on our terminal, which then
// has sent it to the command, too: they are of one process group.
func typed(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
