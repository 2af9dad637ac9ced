package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcpmitm/nfq"
)

// locks are the names by which runs and guards find each other. They are those
// of abstract sockets: they belong to the network namespace, as the firewall
// does, and are gone when their process is, however that ended.
type locks struct {
	run   string // held by a run
	guard string // held by the guard of a run, and for longer than that by the run
}

var namespaceLocks = locks{run: "@tcpmitm/run", guard: "@tcpmitm/guard"}

const (
	lockPatience  = time.Second           // for who holds a name to answer, or to be gone
	guardPatience = 10 * time.Second      // for a guard to have cleaned up
	guardLook     = 20 * time.Millisecond // between two looks
)

var errRunning = errors.New("another tcpmitm runs in this network namespace")

// claim makes sure that no other run's rules are taken for leftovers
// and removed. The lock is held until it is closed. If somebody who may not
// administer the network sits on the name, to keep us from starting, the lock
// is done without, and squatter is set.
func (n locks) claim() (lock net.Listener, squatter bool, err error) {
	lock, err = hold(n.run)
	// A run that is just dying still holds its name for a moment.
	for end := time.Now().Add(lockPatience); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(guardLook)
		lock, err = hold(n.run)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && holder(n.run) != 0:
		return nil, false, fmt.Errorf("%w: stop it first (`tcpmitm ss` shows its connections)", errRunning)
	case errors.Is(err, syscall.EADDRINUSE):
		squatter = true
	case err != nil:
		return nil, false, fmt.Errorf("looking for another tcpmitm: %w", err)
	}
	// The guard of a run that has died sees us and leaves all to us. It must
	// have ended, or it would remove our rules, and have our queues and devices.
	for end := time.Now().Add(guardPatience); holder(n.guard) != 0 && time.Now().Before(end); {
		time.Sleep(guardLook)
	}
	return lock, squatter, nil
}

// vacant tells a guard, once a run has died, given by its process id, whether
// nobody has taken its place.
func (n locks) vacant(run int) bool {
	// The kernel may have closed the dead run's end of our pipe and not yet
	// its lock.
	end := time.Now().Add(guardPatience)
	for at := holder(n.run); at != 0; at = holder(n.run) {
		if at != run || time.Now().After(end) {
			return false
		}
		time.Sleep(guardLook)
	}
	return true
}

// hold takes a name until it is closed.
func hold(name string) (net.Listener, error) {
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	// Whoever looks whether the name is held stays in the socket's queue
	// until it is accepted.
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l, nil
}

// holder returns the process of our power that holds a name, or 0. If anybody
// else holds it, that says nothing.
func holder(name string) int {
	conn, err := net.DialTimeout("unix", name, lockPatience)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return 0
	}
	if peer.Uid != 0 && peer.Uid != uint32(os.Geteuid()) && !nfq.MayAdminister(int(peer.Pid)) {
		return 0
	}
	return int(peer.Pid)
}
