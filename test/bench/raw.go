package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ioLimit is how long one call on a raw connection may block.
const ioLimit = 5 * time.Second

// raw is a TCP connection without Go's poller: a hundred thousand of them
// cost nothing but their descriptors, and a ping-pong on one has no scheduler
// in its way.
type raw struct{ fd int }

// openRaw connects from a namespace, and from an address unless it is empty.
func openRaw(n *namespace, from, to string, port int) (r raw, err error) {
	err = n.in(func() error {
		r, err = dialRaw(from, to, port)
		return err
	})
	return r, err
}

// dialRaw is openRaw for who is in the namespace already.
func dialRaw(from, to string, port int) (raw, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return raw{}, os.NewSyscallError("socket", err)
	}
	lingerNot(fd)
	limit := unix.NsecToTimeval(int64(ioLimit))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
	)
	if err == nil && from != "" {
		// The port is chosen at connect, by the whole tuple.
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
			unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(from).As4()}),
		)
	}
	if err == nil {
		err = retry(func() error {
			return unix.Connect(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4(), Port: port})
		})
	}
	if err != nil {
		unix.Close(fd)
		return raw{}, fmt.Errorf("connect to %s:%d: %w", to, port, err)
	}
	return raw{fd}, nil
}

// exchange sends b and reads as much into it.
func (r raw) exchange(b []byte) error {
	for sent := 0; sent < len(b); {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Write(r.fd, b[sent:])
			return err
		})
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		sent += n
	}
	return r.receive(b)
}

// receive fills b.
func (r raw) receive(b []byte) error {
	for got := 0; got < len(b); {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Read(r.fd, b[got:])
			return err
		})
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		if n == 0 {
			return errors.New("the server has closed")
		}
		got += n
	}
	return nil
}

// close ends the connection with a RST: nothing of it is left.
func (r raw) close() { _ = unix.Close(r.fd) }

// lingerNot has a socket's end be a RST, so that no end of a connection waits
// in TIME-WAIT, or for a proxy that has gone.
func lingerNot(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// retry repeats what a signal has interrupted; Go's own timers send some.
func retry(f func() error) error {
	for {
		err := f()
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
