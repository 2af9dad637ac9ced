package labnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// FoldersAt is where each Net has its folder.
	FoldersAt   = "/run/tcpmitm-lab"
	hostPrefix  = "tcpmitm-"
	maxClaims   = 100 // of one process id: those of other process namespaces may be equal
	roleClient  = "client"
	roleGateway = "gateway"
	roleServer  = "server"
)

var roles = [...]string{roleClient, roleGateway, roleServer}

// claim is the right to a name for a lab, and its folder, which is locked for
// as long as this process lives.
type claim struct {
	name   string
	folder string
	lock   *os.File
}

// hostName is the name of a lab's namespace.
func (c *claim) hostName(role string) string { return hostPrefix + c.name + "-" + role }

// newClaim sweeps, and takes a name that nobody has: it carries the process id.
func newClaim() (*claim, error) {
	// A folder that has just been made and is not locked yet must not be taken
	// for a dead one's.
	all, err := lockAll()
	if err != nil {
		return nil, err
	}
	defer all.Close()
	sweep()
	for i := 1; i <= maxClaims; i++ {
		c := &claim{name: strconv.Itoa(os.Getpid())}
		if i > 1 {
			c.name += "." + strconv.Itoa(i)
		}
		c.folder = filepath.Join(FoldersAt, c.name)
		if err := os.Mkdir(c.folder, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("making the lab's folder: %w", err)
		}
		if c.lock, err = lockFolder(c.folder, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return nil, errors.Join(fmt.Errorf("locking the lab's folder: %w", err), os.Remove(c.folder))
		}
		return c, nil
	}
	return nil, fmt.Errorf("there are %d labs of this process id in %s: remove what nobody uses", maxClaims, FoldersAt)
}

// lockAll makes the caller the only one who makes or removes something that
// labs share.
func lockAll() (*os.File, error) {
	for range maxClaims {
		if err := os.MkdirAll(FoldersAt, 0o700); err != nil {
			return nil, fmt.Errorf("making the folder for labs: %w", err)
		}
		f, err := lockFolder(FoldersAt, unix.LOCK_EX)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", FoldersAt, err)
		}
		// Who held the lock before may have removed the folder.
		mine, err1 := f.Stat()
		present, err2 := os.Stat(FoldersAt)
		if err1 == nil && err2 == nil && os.SameFile(mine, present) {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, fmt.Errorf("somebody keeps removing %s", FoldersAt)
}

func lockFolder(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// release removes the folder and gives the name back.
func (c *claim) release() error {
	all, err := lockAll()
	if err != nil {
		return err
	}
	defer all.Close()
	for _, role := range roles {
		unlinkNames(c.hostName(role))
	}
	if err = os.RemoveAll(c.folder); err != nil {
		err = fmt.Errorf("removing the lab's folder: %w", err)
	}
	// That others' are in it is no error.
	_ = os.Remove(FoldersAt)
	return errors.Join(err, c.lock.Close())
}

// sweep removes the labs whose process is gone. What cannot be removed now is
// tried again by the next.
func sweep() {
	entries, err := os.ReadDir(FoldersAt)
	if err != nil {
		return
	}
	for _, e := range entries {
		c := &claim{name: e.Name(), folder: filepath.Join(FoldersAt, e.Name())}
		if c.lock, err = lockFolder(c.folder, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			continue
		}
		var names []string
		for _, role := range roles {
			names = append(names, c.hostName(role))
		}
		endAll(names, 0)
		for _, name := range names {
			_ = removeName(name)
			unlinkNames(name)
		}
		_ = os.RemoveAll(c.folder)
		_ = c.lock.Close()
	}
}
