package nfq

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What can be wrong with the machine at start. The errors that wrap these
// say what was tried and what to do about it.
var (
	ErrPrivilege    = errors.New("missing privilege")
	ErrQueueTaken   = errors.New("queue number taken")
	ErrDeviceExists = errors.New("device exists")
	ErrNoKernel     = errors.New("missing in this kernel")
	ErrNoIptables   = errors.New("iptables missing")
)

// CheckPrivilege tells whether the process may administer the network.
func CheckPrivilege() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("reading own capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("%w: the network cannot be administered (user id %d without CAP_NET_ADMIN): run as root, for example with sudo", ErrPrivilege, os.Geteuid())
	}
	return nil
}

// MayAdminister tells whether a process may administer the network, as far as
// the kernel says it of others.
func MayAdminister(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return err == nil && caps&(1<<unix.CAP_NET_ADMIN) != 0
		}
	}
	return false
}

// queueError explains why a queue could not be bound.
func queueError(number uint16, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EBUSY):
		if perr := CheckPrivilege(); perr != nil {
			return perr
		}
		return fmt.Errorf("%w: NFQUEUE %d belongs to another program%s; stop it, or choose other numbers with queue_base in [intercept]: %w",
			ErrQueueTaken, number, queueOwner(number), err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: NFQUEUE %d cannot be bound: modprobe nfnetlink_queue, or boot a kernel with CONFIG_NETFILTER_NETLINK_QUEUE: %w",
			ErrNoKernel, number, err)
	}
	return fmt.Errorf("binding NFQUEUE %d: %w", number, err)
}

// queueOwner looks up who holds a queue, as an addition to an error text.
func queueOwner(number uint16) string {
	const table = "/proc/thread-self/net/netfilter/nfnetlink_queue"
	text, err := os.ReadFile(table)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) > 1 && f[0] == fmt.Sprint(number) {
			return fmt.Sprintf(" (netlink port %s in /proc/net/netfilter/nfnetlink_queue, mostly the process id)", f[1])
		}
	}
	return ""
}

// tunError explains why a TUN device could not be made.
func tunError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: a network device %s is there already, perhaps of another tcpmitm; stop that, or choose another name with tun_prefix in [intercept]: %w",
			ErrDeviceExists, name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if perr := CheckPrivilege(); perr != nil {
			return perr
		}
		return fmt.Errorf("%w: TUN device %s: the kernel refuses it; in a container, allow CAP_NET_ADMIN and /dev/net/tun: %w", ErrPrivilege, name, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: /dev/net/tun: modprobe tun; if the file itself is missing: mkdir -p /dev/net && mknod /dev/net/tun c 10 200 (containers: --device /dev/net/tun): %w", ErrNoKernel, err)
	}
	return fmt.Errorf("making TUN device %s: %w", name, err)
}
