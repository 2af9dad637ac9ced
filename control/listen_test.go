package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// listen opens a control socket as a run does.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	s, err := Bind(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); s.Close() })
	return l
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Bind(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v; want %o", info.Mode(), err, socketMode)
	}
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("before Listen: %v, want a refusal", err)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("after Listen: %v", err)
	}
	c.Close()
	l.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

// A socket file that nobody listens on is that of a killed run.
func TestBindReplacesStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := Bind(path); err != nil {
		t.Fatal(err)
	}
	s, err := Bind(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// The folder of the socket is made if it is missing, for others to look into
// but not to write to.
func TestBindMakesItsFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "tcpmitm")
	s, err := Bind(filepath.Join(folder, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm()&0o022 != 0 {
		t.Errorf("the folder is %v, %v", info, err)
	}
}

func TestBindRefuses(t *testing.T) {
	dir := t.TempDir()
	taken, file := filepath.Join(dir, "taken"), filepath.Join(dir, "file")
	listen(t, taken)
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		path, want string
		is         error
	}{
		{taken, "another tcpmitm answers on", ErrTaken},
		{file, "is no socket: remove it", ErrTaken},
		{filepath.Join(dir, "none", "none", "s"), "is not there: make it, or choose", os.ErrNotExist},
	} {
		s, err := Bind(v.path)
		if err == nil {
			s.Close()
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
