package nfq

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ringEntries bounds the writes that one system call carries out; a power
	// of two.
	ringEntries = 128
	// slotSize is the longest write, in octets, that is copied to wait for
	// the others: any segment of Ethernet. What is longer costs so much by
	// itself that the call does not count.
	slotSize = 2048
	// ringTries bounds the system calls for one submission. The kernel takes
	// less than all only if it is short of memory.
	ringTries = 8
)

// What of linux/io_uring.h is needed here.
const (
	ringOffSQEs = 0x10000000 // IORING_OFF_SQES

	ringSetupSubmitAll = 1 << 7 // IORING_SETUP_SUBMIT_ALL, Linux 5.18

	ringFeatSingleMmap = 1 << 0 // IORING_FEAT_SINGLE_MMAP
	ringFeatNoDrop     = 1 << 1 // IORING_FEAT_NODROP

	ringGetEvents = 1 << 0 // IORING_ENTER_GETEVENTS

	ringOpWrite = 23 // IORING_OP_WRITE

	// ringNoWait is RWF_NOWAIT: what a file has no room for fails at once. That
	// it is non-blocking does not say so to io_uring.
	ringNoWait = 8
)

// errRingFiles tells that a file does not know RWF_NOWAIT: a socket before
// Linux 6.0, a TUN device before 5.11.
var errRingFiles = errors.New("io_uring: the files cannot be told not to wait")

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, workers uint32
	_                                                                         [3]uint32
	sq                                                                        struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// ringSQE is struct io_uring_sqe, as far as a write needs it.
type ringSQE struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset, addr  uint64
	len, rwFlags  uint32
	userData      uint64
	_             [24]byte
}

// ringCQE is struct io_uring_cqe.
type ringCQE struct {
	userData uint64
	result   int32
	flags    uint32
}

// ring collects small writes and has the kernel carry them out with one system
// call, by io_uring(7), in the order in which they came. No write
// waits, so each is over when the call returns: nothing is ever under way in the
// background, and a slot is free again. The ring belongs to the shard's goroutine.
//
// Where the kernel has no io_uring, or forbids it (in a container, by
// kernel.io_uring_disabled), there is no ring and each write is a call.
type ring struct {
	fd    int
	rings []byte // both queues, shared with the kernel
	sqes  []byte

	sqTail, sqHead, cqHead, cqTail *uint32
	sqMask, cqMask                 uint32
	cqes                           uint32 // where the completions begin in rings

	slots []byte // ringEntries of slotSize
	n     int    // writes that wait
	wait  [ringEntries]waiting

	refused bool // a file cannot be written to in this way
}

// waiting is a write that waits in its slot.
type waiting struct {
	fd   int
	len  int
	done func(len int, errno unix.Errno)
}

// openRing makes a ring, or tells why there can be none.
func openRing() (*ring, error) {
	var p ringParams
	p.flags = ringSetupSubmitAll
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("setting up io_uring: %w", errno)
	}
	r := &ring{fd: int(fd)}
	unix.CloseOnExec(r.fd)
	if err := r.mapQueues(&p); err != nil {
		r.close()
		return nil, err
	}
	r.slots = make([]byte, ringEntries*slotSize)
	return r, nil
}

func (r *ring) mapQueues(p *ringParams) (err error) {
	if p.features&ringFeatSingleMmap == 0 || p.features&ringFeatNoDrop == 0 {
		return errors.New("io_uring is too old: want Linux 5.18")
	}
	size := max(int(p.sq.array+p.sqEntries*4), int(p.cq.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(ringCQE{})))
	if r.rings, err = unix.Mmap(r.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("mapping the queues of io_uring: %w", err)
	}
	size = int(p.sqEntries) * int(unsafe.Sizeof(ringSQE{}))
	if r.sqes, err = unix.Mmap(r.fd, ringOffSQEs, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("mapping the entries of io_uring: %w", err)
	}
	word := func(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[at])) }
	r.sqHead, r.sqTail, r.sqMask = word(p.sq.head), word(p.sq.tail), *word(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = word(p.cq.head), word(p.cq.tail), *word(p.cq.mask)
	for i := range p.sqEntries {
		*word(p.sq.array + i*4) = i
	}
	r.cqes = p.cq.cqes
	return nil
}

// full tells that a submission must make room first.
func (r *ring) full() bool { return r.n == ringEntries }

// slot is where the next write's octets are put.
func (r *ring) slot() []byte { return r.slots[r.n*slotSize:][:slotSize:slotSize] }

// add has the first n octets of the slot written to a file with the next
// submission, which tells done how that went.
func (r *ring) add(fd, n int, done func(len int, errno unix.Errno)) {
	r.wait[r.n] = waiting{fd, n, done}
	r.n++
}

// extend makes the write that waits last longer by n octets, if it is to this file
// and they fit, and returns where they are to be put; else nil.
func (r *ring) extend(fd, n int) []byte {
	if r.n == 0 {
		return nil
	}
	w := &r.wait[r.n-1]
	if w.fd != fd || w.len+n > slotSize {
		return nil
	}
	at := (r.n-1)*slotSize + w.len
	w.len += n
	return r.slots[at : at+n : at+n]
}

// submit carries out all that waits. After an error the ring cannot be used
// any more, and what it had not written is lost.
func (r *ring) submit() error {
	n := r.n
	r.n = 0
	switch n {
	case 0:
		return nil
	case 1:
		w := &r.wait[0]
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fd), uintptr(unsafe.Pointer(&r.slots[0])), uintptr(w.len))
		w.done(w.len, errno)
		return nil
	}
	tail := *r.sqTail // nobody else writes it
	for i := range n {
		at := (tail + uint32(i)) & r.sqMask
		*(*ringSQE)(unsafe.Pointer(&r.sqes[uintptr(at)*unsafe.Sizeof(ringSQE{})])) = ringSQE{
			opcode: ringOpWrite, fd: int32(r.wait[i].fd), offset: math.MaxUint64,
			addr: uint64(uintptr(unsafe.Pointer(&r.slots[i*slotSize]))), len: uint32(r.wait[i].len), rwFlags: ringNoWait, userData: uint64(i),
		}
	}
	atomic.StoreUint32(r.sqTail, tail+uint32(n))
	done := 0
	for range ringTries {
		left := uintptr(tail + uint32(n) - atomic.LoadUint32(r.sqHead))
		// It waits for what it was given, which is over by then.
		_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), left, uintptr(n-done), ringGetEvents, 0, 0)
		if done += r.reap(); r.refused {
			return errRingFiles
		}
		if done == n {
			return nil
		}
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.EBUSY {
			return fmt.Errorf("submitting to io_uring: %w", errno)
		}
	}
	return fmt.Errorf("submitting to io_uring: %d of %d writes are not done: %w", n-done, n, unix.EAGAIN)
}

// reap takes what is complete.
func (r *ring) reap() (n int) {
	head := *r.cqHead // nobody else writes it
	tail := atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		at := uintptr(r.cqes) + uintptr(head&r.cqMask)*unsafe.Sizeof(ringCQE{})
		e := *(*ringCQE)(unsafe.Pointer(&r.rings[at]))
		r.refused = r.refused || unix.Errno(-e.result) == unix.EOPNOTSUPP
		w := &r.wait[e.userData%ringEntries]
		w.done(w.len, unix.Errno(max(0, -e.result)))
		n++
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}

func (r *ring) close() {
	if r.sqes != nil {
		_ = unix.Munmap(r.sqes)
	}
	if r.rings != nil {
		_ = unix.Munmap(r.rings)
	}
	_ = unix.Close(r.fd)
}
