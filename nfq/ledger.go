package nfq

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LedgerFile is a file that is mapped into memory and shared, so that what the
// process has written there is still to be read when it has been killed. What
// is written is its user's affair.
//
// It begins with a header of a page: the words that say what it is, the boot
// and the network namespace in which it was true, its measures, and when its
// writer was last alive. The parts of the shards follow.
type LedgerFile struct {
	path   string
	file   *os.File
	memory []byte
	chunk  int // octets
	part   int // octets of each shard
}

// ErrNoLedger means that there is none to be read, or none that says anything
// about the present.
var ErrNoLedger = errors.New("no ledger")

const (
	ledgerMagic  = "tcpmitm ledger 1"
	ledgerHeader = 4096
	// ledgerMode is that of the control socket: it has the same addresses.
	ledgerMode = 0o600

	atBoot  = 16 // 36 octets, a UUID
	atSpace = 56 // the network namespace's inode
	atParts = 64 // how many parts
	atPart  = 72 // octets of each
	atAlive = 80 // CLOCK_BOOTTIME in nanoseconds
	atLo    = 88 // settings of the loopback device that were switched on, a bit each

	maxLedgerParts  = maxQueues
	maxLedgerOctets = 1 << 40
)

// CreateLedger makes the file, in place of any other of the name, for parts of
// at most size octets each, which take memory only as they are grown by chunks.
func CreateLedger(path string, parts, size, chunk int) (*LedgerFile, error) {
	size = size / chunk * chunk
	if parts < 1 || parts > maxLedgerParts || size < chunk || size > maxLedgerOctets/parts {
		return nil, fmt.Errorf("a ledger of %d parts of %d octets cannot be made", parts, size)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing the ledger of an earlier run: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, ledgerMode)
	if err != nil {
		return nil, fmt.Errorf("making the ledger beside the control socket: %w", err)
	}
	l := &LedgerFile{path: path, file: file, chunk: chunk, part: size}
	if err := l.create(parts); err != nil {
		return nil, errors.Join(fmt.Errorf("making the ledger %s: %w", path, err), l.Remove())
	}
	return l, nil
}

func (l *LedgerFile) create(parts int) error {
	total := ledgerHeader + parts*l.part
	if err := l.file.Truncate(int64(total)); err != nil {
		return err
	}
	// Memory that the file system has not promised would be missed by a
	// signal that ends the process.
	if err := unix.Fallocate(int(l.file.Fd()), 0, 0, ledgerHeader); err != nil {
		return err
	}
	memory, err := unix.Mmap(int(l.file.Fd()), 0, total, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	l.memory = memory
	boot, space, err := hereAndNow()
	if err != nil {
		return err
	}
	copy(memory[atBoot:atBoot+36], boot)
	binary.NativeEndian.PutUint64(memory[atSpace:], space)
	binary.NativeEndian.PutUint64(memory[atParts:], uint64(parts))
	binary.NativeEndian.PutUint64(memory[atPart:], uint64(l.part))
	l.Alive()
	copy(memory, ledgerMagic)
	return nil
}

// Part is the memory of a shard, and the function by which its next chunk is
// made ready to be written to.
func (l *LedgerFile) Part(shard int) (memory []byte, grow func(chunk int) bool) {
	at := ledgerHeader + shard*l.part
	return l.memory[at : at+l.part], func(chunk int) bool {
		return unix.Fallocate(int(l.file.Fd()), 0, int64(at+chunk*l.chunk), int64(l.chunk)) == nil
	}
}

// Alive notes that the writer is alive. It may be called from any goroutine
// until Remove.
func (l *LedgerFile) Alive() {
	(*atomic.Int64)(unsafe.Pointer(&l.memory[atAlive])).Store(bootTime())
}

// NoteLoopback notes which settings of the loopback device the writer has
// switched on, for whoever takes over.
func (l *LedgerFile) NoteLoopback(on []string) {
	var bits uint64
	for i, key := range loopbackSettings {
		if slices.Contains(on, key) {
			bits |= 1 << i
		}
	}
	binary.NativeEndian.PutUint64(l.memory[atLo:], bits)
}

// TakeLoopback returns the settings of the loopback device that the dead writer
// of a ledger has switched on, in this boot and in the network namespace of the
// calling thread, and has nobody else find them there. A ledger that cannot be
// read names none.
func TakeLoopback(path string) (on []string) {
	file, head, err := openLedger(path, os.O_RDWR)
	if err != nil {
		return nil
	}
	defer file.Close()
	bits := binary.NativeEndian.Uint64(head[atLo:])
	if bits == 0 {
		return nil
	}
	if _, err := file.WriteAt(make([]byte, 8), atLo); err != nil {
		return nil
	}
	for i, key := range loopbackSettings {
		if bits&(1<<i) != 0 {
			on = append(on, key)
		}
	}
	return on
}

// Remove takes the file away. Nobody may write to a part any more.
func (l *LedgerFile) Remove() error {
	var err error
	if l.memory != nil {
		err = unix.Munmap(l.memory)
		l.memory = nil
	}
	rerr := os.Remove(l.path)
	if errors.Is(rerr, fs.ErrNotExist) {
		rerr = nil
	}
	return errors.Join(err, rerr, l.file.Close())
}

// openLedger opens a ledger of this boot and of the network namespace of the
// calling thread, and returns its header.
func openLedger(path string, how int) (file *os.File, head []byte, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, nil, ErrNoLedger
	}
	// What stands in it decides whom we send RSTs to.
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || info.Mode().Perm() != ledgerMode || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return nil, nil, fmt.Errorf("%w: %s is not ours: it has another owner or mode", ErrNoLedger, path)
	}
	if file, err = os.OpenFile(path, how|unix.O_NOFOLLOW, 0); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoLedger, err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	head = make([]byte, ledgerHeader)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, nil, fmt.Errorf("%w: reading its header: %w", ErrNoLedger, err)
	}
	boot, space, err := hereAndNow()
	if err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(head, []byte(ledgerMagic)) || string(head[atBoot:atBoot+36]) != boot || binary.NativeEndian.Uint64(head[atSpace:]) != space {
		return nil, nil, fmt.Errorf("%w: %s is of another boot or network namespace", ErrNoLedger, path)
	}
	return file, head, nil
}

// ReadLedger returns the parts of a ledger whose writer was alive at most age
// ago, in this boot and in the network namespace of the calling thread.
func ReadLedger(path string, age time.Duration) (parts [][]byte, err error) {
	file, head, err := openLedger(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLedger, err)
	}
	if past := bootTime() - int64(binary.NativeEndian.Uint64(head[atAlive:])); past < 0 || past > int64(age) {
		return nil, fmt.Errorf("%w: %s is too old", ErrNoLedger, path)
	}
	n, size := binary.NativeEndian.Uint64(head[atParts:]), binary.NativeEndian.Uint64(head[atPart:])
	if n < 1 || n > maxLedgerParts || size > maxLedgerOctets/n || int64(ledgerHeader+n*size) != info.Size() {
		return nil, fmt.Errorf("%w: %s has odd measures", ErrNoLedger, path)
	}
	for i := range n {
		part, err := readPart(file, int64(ledgerHeader+i*size), int64(size))
		if err != nil {
			return nil, fmt.Errorf("%w: reading %s: %w", ErrNoLedger, path, err)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// readPart reads what was written of a part: it was grown from its start, and
// the rest is a hole.
func readPart(file *os.File, at, size int64) ([]byte, error) {
	hole, err := unix.Seek(int(file.Fd()), at, unix.SEEK_HOLE)
	if err != nil {
		return nil, err
	}
	part := make([]byte, min(max(hole-at, 0), size))
	_, err = file.ReadAt(part, at)
	return part, err
}

// LedgerOf is where the ledger of a run lies: beside its control socket.
func LedgerOf(socket string) string {
	return strings.TrimSuffix(socket, filepath.Ext(socket)) + ".ledger"
}

// hereAndNow names the boot and the network namespace of the calling thread.
func hereAndNow() (boot string, space uint64, err error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", 0, err
	}
	boot = strings.TrimSpace(string(id))
	if len(boot) != 36 {
		return "", 0, fmt.Errorf("the boot's id %q is no UUID", boot)
	}
	return boot, st.Ino, nil
}

// bootTime is CLOCK_BOOTTIME in nanoseconds.
func bootTime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}
