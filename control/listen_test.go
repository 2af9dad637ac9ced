package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v; want %o", info.Mode(), err, socketMode)
	}
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

// A socket file that nobody listens on is that of a killed run.
func TestListenReplacesStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the test left no stale socket")
	}
	l, err = Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	taken, file := filepath.Join(dir, "taken"), filepath.Join(dir, "file")
	l, err := Listen(taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		path, want string
		is         error
	}{
		{taken, "another tcpmitm answers on", ErrTaken},
		{file, "is no socket: remove it", ErrTaken},
		{filepath.Join(dir, "none", "s"), "is not there: make it, or choose", os.ErrNotExist},
	} {
		l, err := Listen(v.path)
		if err == nil {
			l.Close()
			t.Errorf("%s was opened", v.path)
			continue
		}
		if !errors.Is(err, v.is) || !strings.Contains(err.Error(), v.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in one line", v.path, err, v.want)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("a file that is no socket was touched")
	}
	if c, err := net.Dial("unix", taken); err != nil {
		t.Errorf("the socket that was taken no longer answers: %v", err)
	} else {
		c.Close()
	}
}
