package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcpmitm/splice"
)

// told is a service manager that notes what it is told.
func told(t *testing.T) chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	said := make(chan string, 1000)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			said <- string(b[:n])
		}
	}()
	return said
}

// The watchdog is told that we live for as long as the shard answers, is told
// nothing while it does not, and again when it does.
func TestTheWatchdogIsToldWhileShardsAnswer(t *testing.T) {
	said := told(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	g, _, _ := fakeGateway(t, 0)
	g.guardLife()
	defer g.down()
	wantLife := func(why string) {
		t.Helper()
		select {
		case s := <-said:
			if !strings.HasPrefix(s, "WATCHDOG=1\n") || !strings.Contains(s, "STATUS=intercepting, 1 connections") {
				t.Errorf("%s: told %q", why, s)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the watchdog was not told", why)
		}
	}
	for range 3 {
		wantLife("while the shard answers")
	}
	began, free := make(chan struct{}), make(chan struct{})
	go func() { _ = g.shards[0].Do(func(*splice.Shard) { close(began); <-free }) }()
	<-began
	time.Sleep(100 * time.Millisecond) // what was under way arrives
	for len(said) > 0 {
		<-said
	}
	select {
	case s := <-said:
		t.Errorf("told %q while the shard did not answer", s)
	case <-time.After(300 * time.Millisecond):
	}
	close(free)
	wantLife("when the shard answers again")
}

// Without a watchdog, or without a service manager, nothing is said.
func TestNobodyIsTold(t *testing.T) {
	said := told(t)
	g, _, _ := fakeGateway(t, 0)
	defer g.down()
	g.guardLife()
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "1")
	g.guardLife()
	select {
	case s := <-said:
		t.Errorf("told %q, though no watchdog waits for it", s)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestWhatTheManagerIsTold(t *testing.T) {
	said := told(t)
	g, _, _ := fakeGateway(t, 3*time.Second)
	defer g.down()
	m := manager{g.log}
	m.ready(7)
	m.reloading()
	g.stopTold()
	for _, want := range []string{"READY=1\nSTATUS=intercepting, 7 connections", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000\nSTATUS=stopping"} {
		if s := <-said; !strings.HasPrefix(s, want) {
			t.Errorf("told %q, want %q", s, want)
		}
	}
}
