package labnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// covered are places over which an empty folder is laid inside: name service
// caches answer from the machine's own files.
var covered = []string{"/run/nscd"}

// Entry says which program is to run where.
type Entry struct {
	Host         string // name of the network namespace
	Folder       string // of the Net
	WhenOrphaned int    // the signal that the program gets if the process that started it dies
	Path         string
	Argv         []string
	Environment  []string
}

// Enter makes the calling process a program on a host of a Net: in the host's
// network namespace, and in a mount namespace where the files of the Net's
// folder are seen in place of those in /etc. It returns only on an error.
func Enter(e Entry) error {
	// The thread that calls exec becomes the process; the others end.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(e.WhenOrphaned), 0, 0, 0); err != nil {
		return fmt.Errorf("asking to be told when an orphan: %w", err)
	}
	h, err := netns.GetFromName(e.Host)
	if err != nil {
		return fmt.Errorf("opening the network namespace %s: %w", e.Host, err)
	}
	if err := netns.Set(h); err != nil {
		return fmt.Errorf("entering the network namespace %s: %w", e.Host, err)
	}
	_ = h.Close()
	if err := coverFiles(filepath.Join(e.Folder, etcFolder)); err != nil {
		return err
	}
	return &ExecError{syscall.Exec(e.Path, e.Argv, e.Environment)}
}

// ExecError tells that everything was ready and the program could not be run.
type ExecError struct{ error }

// Unwrap gives the system's error.
func (e *ExecError) Unwrap() error { return e.error }

// coverFiles lays the files of a folder over those in /etc, for this process
// and its children alone.
func coverFiles(etc string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	// What is unmounted outside shall be unmounted here too, and nothing of
	// what is mounted here shall be seen outside.
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keeping the lab's mounts to itself: %w", err)
	}
	// /sys/class/net shows the devices of the namespace that mounted it; where
	// that is not allowed, those of the machine are seen, and nothing else.
	_ = unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	for _, path := range covered {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			_ = unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=755")
		}
	}
	entries, err := os.ReadDir(etc)
	if err != nil {
		return fmt.Errorf("reading the lab's names: %w", err)
	}
	var errs []error
	for _, e := range entries {
		from, to := filepath.Join(etc, e.Name()), filepath.Join("/etc", e.Name())
		if err := unix.Mount(from, to, "none", unix.MS_BIND, ""); err != nil {
			errs = append(errs, fmt.Errorf("putting %s in the place of %s: %w", from, to, err))
		}
	}
	return errors.Join(errs...)
}
