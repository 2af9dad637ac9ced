package nfq

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// guardDone is the line that tells the guard that there is nothing left
	// to clean.
	guardDone = "done"
	// guardReadMax bounds what the guard reads, in octets: its orders, and
	// one word.
	guardReadMax = 1 << 20
	// guardTUN is the guard's descriptor of the first TUN device; that of
	// the other leg follows.
	guardTUN = 3
	// guardWait bounds the wait for the guard to end when it is told to.
	guardWait = 5 * time.Second
)

// Guard is a small process that outlives this one: if this one ends without
// a word, killed or crashed, the guard does what is to be done then. At least
// it removes the firewall's rules, which would otherwise lead packets to queues
// that nobody reads. It holds the TUN devices open, so that they stay.
type Guard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// StartGuard starts the own executable with args, upon which it has to call
// RunGuard with its standard input; orders, one line, is what that passes on.
// The guard runs in the network namespace of the calling thread, and in a
// session of its own, so that what ends this process from a terminal does not
// end the guard. tuns may be nil; else the guard can call InheritTUNs.
func StartGuard(orders []byte, tuns *TUNs, args ...string) (*Guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe to the guard: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin = r
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if tuns != nil {
		defer tuns.lend(cmd)()
	}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("starting the guard of the firewall's rules: %w", err)
	}
	g := &Guard{cmd: cmd, pipe: w}
	if _, err := w.Write(append(orders, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("telling the guard of the firewall's rules what to do: %w", err), g.Done())
	}
	return g, nil
}

// lend gives a command that is about to be started the first files of both
// devices. What it returns is to be called afterwards.
func (t *TUNs) lend(cmd *exec.Cmd) (after func()) {
	for leg, fd := range t.files[0] {
		if own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(own), t.Names[leg]))
		}
	}
	return func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
		// Package os makes files block that it gives away, and the flag is
		// that of all who share one.
		for _, fd := range t.files[0] {
			_ = unix.SetNonblock(fd, true)
		}
	}
}

// InheritTUNs takes over, in the guard, the devices of a process that has died,
// for a number of shards.
func InheritTUNs(prefix string, shards int) (*TUNs, error) {
	t := &TUNs{}
	for leg := range legSuffix {
		t.Names[leg] = prefix + legSuffix[leg]
	}
	for range shards {
		pair := [2]int{-1, -1}
		for leg := range pair {
			fd, err := unix.FcntlInt(uintptr(guardTUN+leg), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Close()
				return nil, fmt.Errorf("taking over TUN device %s: %w", t.Names[leg], err)
			}
			pair[leg] = fd
		}
		t.files = append(t.files, pair)
	}
	for leg := range legSuffix {
		unix.Close(guardTUN + leg)
	}
	return t, nil
}

// Done tells the guard that the rules are gone, and waits for its end.
func (g *Guard) Done() error {
	_, werr := io.WriteString(g.pipe, guardDone+"\n")
	if err := g.pipe.Close(); werr == nil {
		werr = err
	}
	if werr != nil {
		// It has ended before; the reason is in its exit status.
		werr = fmt.Errorf("telling the guard of the firewall's rules to end: %w", werr)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("guard of the firewall's rules: %w", err)
		}
		return werr
	case <-time.After(guardWait):
		return fmt.Errorf("guard of the firewall's rules (process %d) does not end", g.cmd.Process.Pid)
	}
}

// RunGuard is what the guard does: it reads its orders from r, and then until
// it is told that there is nothing to do, or until r ends without that. Then it
// carries them out, by takeOver; orders are empty if none have come.
func RunGuard(r io.Reader, takeOver func(orders []byte) error) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	b := bufio.NewReader(io.LimitReader(r, guardReadMax))
	orders, err := b.ReadBytes('\n')
	if err != nil {
		orders = nil // not all of them, so none
	}
	line, _ := b.ReadString('\n')
	if strings.TrimSpace(line) == guardDone {
		return nil
	}
	return takeOver(bytes.TrimSpace(orders))
}
