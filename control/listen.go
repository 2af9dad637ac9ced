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

	"golang.org/x/sys/unix"
)

// ErrTaken means that somebody answers on the socket already.
var ErrTaken = errors.New("control socket taken")

// probeLimit is how long another program may take to accept.
const probeLimit = time.Second

// socketMode is that of the control socket: who may connect may see all
// addresses that go through the gateway, so nobody but the owner may.
const socketMode = 0o600

// folderMode is that of the socket's own folder, if it has to be made.
const folderMode = 0o755

// Socket is a control socket that has its name, but refuses everybody until
// Listen: whoever waits for tcpmitm to be ready waits for the socket to answer.
type Socket struct {
	path string
	fd   int
}

// Bind takes the name of the control socket. A socket file that nobody listens
// on, as a killed run leaves it, is replaced; anything else there is left
// alone. Its folder is made if it is not there, but not those above it.
func Bind(path string) (*Socket, error) {
	if err := makeRoom(path); err != nil {
		return nil, err
	}
	// What is wrong with the folder, Bind says better.
	_ = os.Mkdir(filepath.Dir(path), folderMode)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a unix socket: %w", err)
	}
	// The file must not be open to others even for a moment, so its mode
	// cannot be set afterwards. The mask is the whole process's; this runs
	// before anything else makes files.
	old := unix.Umask(0o777 &^ socketMode)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(old)
	if err == nil {
		return &Socket{path, fd}, nil
	}
	unix.Close(fd)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("the directory %s is not there: make it, or choose another path with socket in [control]: %w", filepath.Dir(path), err)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("run as root, or choose another path with socket in [control]: %w", err)
	default:
		err = fmt.Errorf("choose another path with socket in [control]: %w", err)
	}
	return nil, fmt.Errorf("the control socket %s cannot be made: %w", path, err)
}

// Listen lets clients in from now on. The socket stays its opener's to close.
func (s *Socket) Listen() (net.Listener, error) {
	if err := unix.Listen(s.fd, maxClients); err != nil {
		return nil, fmt.Errorf("listening on the control socket %s: %w", s.path, err)
	}
	// The listener gets a descriptor of its own.
	own, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listening on the control socket %s: %w", s.path, err)
	}
	f := os.NewFile(uintptr(own), s.path)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listening on the control socket %s: %w", s.path, err)
	}
	return l, nil
}

// Close removes the socket.
func (s *Socket) Close() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // who removed it has done no harm
	}
	return errors.Join(err, unix.Close(s.fd))
}

// makeRoom removes the socket file of a run that was killed.
func makeRoom(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return nil // Bind will fail for the same reason, and say it better.
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
