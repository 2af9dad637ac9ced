package nfq

import "golang.org/x/sys/unix"

// batch collects a turn's small writes: the verdicts of a burst and the
// segments that answer it. Without a ring nothing ever waits. A nil batch is
// one without a ring.
type batch struct {
	ring *ring
}

// newBatch makes a batch; where the kernel offers no ring it stays empty.
func newBatch() *batch {
	r, err := openRing()
	if err != nil {
		return &batch{}
	}
	return &batch{r}
}

// room is where n octets can be put that are then added. It is nil if they
// cannot wait, because they are too many or there is no ring.
func (b *batch) room(n int) []byte {
	if b == nil || b.ring == nil || n > slotSize {
		return nil
	}
	if b.ring.full() {
		b.flush()
		if b.ring == nil {
			return nil
		}
	}
	return b.ring.slot()
}

// add has what was put into the room written to a file with the next flush.
// Then done is told how that went.
func (b *batch) add(fd, n int, done func(n int, errno unix.Errno)) { b.ring.add(fd, n, done) }

// append is add for what may be written together with what waits last, if that is
// for the same file: messages, each of which says how long it is. It returns where
// the n octets are to be put, or nil as room does.
func (b *batch) append(fd, n int, done func(n int, errno unix.Errno)) []byte {
	if b == nil || b.ring == nil {
		return nil
	}
	if slot := b.ring.extend(fd, n); slot != nil {
		return slot
	}
	slot := b.room(n)
	if slot == nil {
		return nil
	}
	b.add(fd, n, done)
	return slot[:n]
}

// flush writes all that waits, in its order.
func (b *batch) flush() {
	if b == nil || b.ring == nil || b.ring.n == 0 {
		return
	}
	if err := b.ring.submit(); err != nil {
		// The kernel was out of memory for long, or forbids what it allowed
		// before: on without it. What was lost is lost as on any wire.
		b.close()
	}
}

// close gives the ring back.
func (b *batch) close() {
	if b != nil && b.ring != nil {
		b.ring.close()
		b.ring = nil
	}
}
