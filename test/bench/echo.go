package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	echoBuffer   = 4096
	echoBurst    = 256
	echoPatience = 100 // ms between looks at what is asked
)

// roleEcho is the first argument of a process that is an echo server.
const roleEcho = "echo"

// echoServer sends back what it gets, on one thread and without memory for a
// connection. Several processes share the ports, because a process may have
// too few descriptors for all connections. SIGUSR1 has it drop all of them,
// SIGTERM end.
type echoServer struct {
	epoll     int
	listeners map[int]bool
	open      map[int]bool
}

// echo is the process: an address and ports to listen on.
func echo(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: echo ADDRESS PORT...")
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGTERM)
	e := &echoServer{listeners: map[int]bool{}, open: map[int]bool{}}
	var err error
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	for _, text := range args[1:] {
		port, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := e.listen(args[0], port); err != nil {
			return fmt.Errorf("listen on %s:%d: %w", args[0], port, err)
		}
	}
	fmt.Println("ready")
	return e.serve(asked)
}

func (e *echoServer) listen(address string, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	e.listeners[fd] = true
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(address).As4(), Port: port}),
		unix.Listen(fd, 65535),
		e.watch(fd),
	)
}

func (e *echoServer) watch(fd int) error {
	return unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (e *echoServer) serve(asked <-chan os.Signal) error {
	events := make([]unix.EpollEvent, echoBurst)
	buf := make([]byte, echoBuffer)
	for {
		n, err := unix.EpollWait(e.epoll, events, echoPatience)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			if fd := int(ev.Fd); e.listeners[fd] {
				e.accept(fd)
			} else {
				e.answer(fd, buf)
			}
		}
		select {
		case s := <-asked:
			for fd := range e.open {
				_ = unix.Close(fd)
			}
			clear(e.open)
			if s == syscall.SIGTERM {
				return e.close()
			}
		default:
		}
	}
}

func (e *echoServer) close() error {
	for fd := range e.listeners {
		_ = unix.Close(fd)
	}
	return unix.Close(e.epoll)
}

func (e *echoServer) accept(listener int) {
	for range echoBurst {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		lingerNot(fd)
		if e.watch(fd) != nil {
			_ = unix.Close(fd)
			continue
		}
		e.open[fd] = true
	}
}

func (e *echoServer) answer(fd int, buf []byte) {
	n, err := unix.Read(fd, buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err == nil && n > 0 {
		// What is echoed is so little that the socket takes all of it.
		if _, err = unix.Write(fd, buf[:n]); err == nil {
			return
		}
	}
	delete(e.open, fd)
	_ = unix.Close(fd)
}
