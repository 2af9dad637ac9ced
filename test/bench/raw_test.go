package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// echoOnLoopback starts an echo server in this process.
func echoOnLoopback(t *testing.T) (port int, purge chan os.Signal) {
	t.Helper()
	e := &echoServer{listeners: map[int]bool{}, open: map[int]bool{}}
	var err error
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := e.listen("127.0.0.1", 0); err != nil {
		t.Fatal(err)
	}
	for fd := range e.listeners {
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		port = name.(*unix.SockaddrInet4).Port
	}
	purge = make(chan os.Signal, 1)
	ended := make(chan error, 1)
	go func() { ended <- e.serve(purge) }()
	t.Cleanup(func() {
		purge <- syscall.SIGTERM
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return port, purge
}

func TestEchoAndPurge(t *testing.T) {
	port, purge := echoOnLoopback(t)
	r, err := dialRaw("127.0.0.2", "127.0.0.1", port)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for range 3 {
		b := []byte("there and back")
		if err := r.exchange(b); err != nil || string(b) != "there and back" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	purge <- syscall.SIGUSR1
	if n, err := unix.Read(r.fd, make([]byte, 1)); n > 0 || err == unix.EAGAIN {
		t.Errorf("after the purge, read %d octets, %v; want the connection's end", n, err)
	}
	if _, err := dialRaw("", "127.0.0.1", 1); err == nil {
		t.Error("somebody listens on port 1")
	}
}

func TestLeftBehind(t *testing.T) {
	const nobody = 1<<22 + 1 // above the highest process number that there can be
	folder := t.TempDir()
	for _, name := range []string{
		fmt.Sprint(namePrefix, nobody, "-c"), fmt.Sprint(namePrefix, os.Getpid(), "-c"), namePrefix + "x-c", fmt.Sprint("other", nobody, "-c"),
	} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := leftBehind(folder); len(got) != 1 || got[0] != fmt.Sprint(namePrefix, nobody, "-c") {
		t.Errorf("left behind: %v", got)
	}
}
