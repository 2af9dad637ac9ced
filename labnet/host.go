package labnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namesFolder is where ip-netns(8) keeps the names of namespaces.
const namesFolder = "/run/netns"

// Host is one network namespace.
type Host struct {
	Name   string
	handle netns.NsHandle
}

// newHost makes a namespace with a name.
func newHost(name string) (*Host, error) {
	h := &Host{Name: name, handle: netns.None()}
	err := onThread(func() (err error) {
		h.handle, err = netns.NewNamed(name)
		return err
	})
	if err == nil {
		return h, nil
	}
	// The file may be there without the namespace.
	err = fmt.Errorf("making the network namespace %s: %w", name, err)
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (in a container it needs CAP_SYS_ADMIN, for example docker run --privileged)", err)
	}
	return nil, errors.Join(err, removeName(name))
}

// onThread runs f on a thread of its own, whose namespace f may change, and
// changes it back.
func onThread(f func() error) error {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening the present network namespace: %w", err)
	}
	defer before.Close()
	result := f()
	if err := netns.Set(before); err != nil {
		// The thread stays locked and ends with the goroutine, so that nobody
		// else runs in the wrong namespace.
		return errors.Join(result, fmt.Errorf("returning to the former network namespace: %w", err))
	}
	runtime.UnlockOSThread()
	return result
}

// In runs f on a thread that is inside: sockets that f opens and processes
// that it starts belong to the host for as long as they live.
func (h *Host) In(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.handle); err != nil {
			return fmt.Errorf("entering the network namespace %s: %w", h.Name, err)
		}
		return f()
	})
}

// sysctl sets a parameter of the host's network.
func (h *Host) sysctl(path, value string) error {
	return h.In(func() error {
		err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0)
		if errors.Is(err, unix.EROFS) {
			err = fmt.Errorf("%w (in a container, /proc/sys must be writable)", err)
		}
		return err
	})
}

// remove gives the namespace up. It is gone when nothing uses it any more.
func (h *Host) remove() error {
	return errors.Join(h.handle.Close(), removeName(h.Name))
}

// removeName removes a namespace's name, as `ip netns del` does.
func removeName(name string) error {
	path := filepath.Join(namesFolder, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing the network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the network namespace %s: %w", name, err)
	}
	return nil
}

// endAll ends the processes in the named namespaces: they are asked, and
// killed after some patience.
func endAll(names []string, patience time.Duration) {
	inside := map[namespaceID]bool{}
	for _, name := range names {
		if id, ok := namespaceAt(filepath.Join(namesFolder, name)); ok {
			inside[id] = true
		}
	}
	if len(inside) == 0 {
		return
	}
	began := time.Now()
	asked := map[int]bool{}
	for time.Since(began) < patience+killTime {
		pids := processesIn(inside)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			switch {
			case time.Since(began) >= patience:
				_ = unix.Kill(pid, unix.SIGKILL)
			case !asked[pid]:
				asked[pid] = true
				_ = unix.Kill(pid, unix.SIGTERM)
				// A stopped process hears it only when it goes on.
				_ = unix.Kill(pid, unix.SIGCONT)
			}
		}
		time.Sleep(look)
	}
}

// namespaceID tells namespaces apart.
type namespaceID struct{ device, inode uint64 }

func namespaceAt(path string) (namespaceID, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return namespaceID{}, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return namespaceID{}, false
	}
	return namespaceID{s.Dev, s.Ino}, true
}

// processesIn lists the processes in some namespaces, but for our own.
func processesIn(inside map[namespaceID]bool) (pids []int) {
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil
	}
	for _, link := range links {
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		if id, ok := namespaceAt(link); ok && inside[id] {
			pids = append(pids, pid)
		}
	}
	return pids
}
