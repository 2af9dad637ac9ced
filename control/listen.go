package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrTaken means that somebody answers on the socket already.
var ErrTaken = errors.New("control socket taken")

// probeLimit is how long another program may take to accept.
const probeLimit = time.Second

// socketMode is that of the control socket: who may connect may see all
// addresses that go through the gateway, so nobody but the owner may.
const socketMode = 0o600

// Listen opens the control socket. A socket file that nobody listens on, as a
// killed run leaves it, is replaced; anything else there is left alone. The
// listener removes the file when it is closed.
func Listen(path string) (net.Listener, error) {
	if err := makeRoom(path); err != nil {
		return nil, err
	}
	// The file must not be open to others even for a moment, so its mode
	// cannot be set afterwards. The mask is the whole process's; this runs
	// before anything else makes files.
	old := syscall.Umask(0o777 &^ socketMode)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the control socket %s cannot be made: the directory %s is not there: make it, or choose another path with socket in [control]: %w",
			path, filepath.Dir(path), err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the control socket %s cannot be made: run as root, or choose another path with socket in [control]: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("the control socket %s cannot be made: choose another path with socket in [control]: %w", path, err)
	}
	return l, nil
}

// makeRoom removes the socket file of a run that was killed.
func makeRoom(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return nil // Listen will fail for the same reason, and say it better.
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%w: %s is there and is no socket: remove it, or choose another path with socket in [control]", ErrTaken, path)
	}
	conn, err := net.DialTimeout("unix", path, probeLimit)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%w: another tcpmitm answers on %s: stop it, or choose another path with socket in [control]", ErrTaken, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %s is there and cannot be asked: stop what uses it, or choose another path with socket in [control]: %w", ErrTaken, path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the control socket %s of an earlier run cannot be removed: %w", path, err)
	}
	return nil
}
