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

// The names are those of abstract sockets: they belong to the network
// namespace, as the firewall does, and are gone when their process is, however
// that ended.
const (
	// lockName is held by a run.
	lockName = "@tcpmitm/run"
	// guardName is held by a guard that cleans up after a run.
	guardName = "@tcpmitm/guard"
)

const (
	lockPatience  = time.Second           // to be accepted by who holds a name
	guardPatience = 10 * time.Second      // for a guard to have cleaned up
	guardLook     = 20 * time.Millisecond // between two looks
)

var errRunning = errors.New("another tcpmitm runs in this network namespace")

// lockNamespace makes sure that no other run's rules are taken for leftovers
// and removed. The lock is held until it is closed. If somebody who may not
// administer the network sits on the name, to keep us from starting, the lock
// is done without, and squatter is set.
func lockNamespace() (lock net.Listener, squatter bool, err error) {
	lock, err = hold(lockName)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && held(lockName):
		return nil, false, fmt.Errorf("%w: stop it first (`tcpmitm ss` shows its connections)", errRunning)
	case errors.Is(err, syscall.EADDRINUSE):
		squatter = true
	case err != nil:
		return nil, false, fmt.Errorf("looking for another tcpmitm: %w", err)
	}
	// From here on a guard that begins sees us and leaves the rules to us;
	// one that has begun must end first, or it would remove ours.
	for end := time.Now().Add(guardPatience); held(guardName) && time.Now().Before(end); {
		time.Sleep(guardLook)
	}
	return lock, squatter, nil
}

// guardClean removes the rules of a run that has died, unless another one is
// there: that has removed them itself, and has put in its own.
func guardClean() error {
	if l, err := hold(guardName); err == nil {
		defer l.Close()
	}
	if held(lockName) {
		return nil
	}
	return nfq.Clean()
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

// held tells whether somebody of our power holds a name. A name that anybody
// else holds says nothing.
func held(name string) bool {
	conn, err := net.DialTimeout("unix", name, lockPatience)
	if err != nil {
		return false
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return false
	}
	return peer.Uid == 0 || peer.Uid == uint32(os.Geteuid())
}
