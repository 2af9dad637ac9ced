package nfq

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testRing opens a ring. Where the kernel has none the program goes on without,
// but here one is wanted: a test that has none would show nothing.
func testRing(t testing.TB) *ring {
	t.Helper()
	r, err := openRing()
	if err != nil {
		t.Fatalf("io_uring: %v (sysctl kernel.io_uring_disabled must be 0)", err)
	}
	t.Cleanup(r.close)
	return r
}

// datagrams makes a pair of sockets that keep the borders of writes. Neither
// end waits.
func datagrams(t testing.TB) (write, read int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
		}
	}
	return fds[0], fds[1]
}

// receive reads one datagram that is there already; "" if there is none.
func receive(t testing.TB, fd int) string {
	t.Helper()
	b := make([]byte, 2*slotSize)
	n, err := unix.Read(fd, b)
	if err == unix.EAGAIN {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// put has a text written with the next submission.
func (r *ring) put(fd int, text string, done func(int, unix.Errno)) {
	r.add(fd, copy(r.slot(), text), done)
}

// Writes are carried out in their order, each is told of, and none is before
// submit: one alone, several, as many as there is room for, over and over.
func TestRingWritesInOrder(t *testing.T) {
	r := testRing(t)
	write, read := datagrams(t)
	for round, n := range []int{1, 2, 3, ringEntries, 1, ringEntries, ringEntries - 1, 77, 64, 5} {
		done := 0
		for i := range n {
			r.put(write, fmt.Sprintf("round %d, write %d", round, i), func(n int, errno unix.Errno) {
				if errno != 0 {
					t.Errorf("round %d: %v", round, errno)
				}
				done++
			})
			if full := i == ringEntries-1; r.full() != full {
				t.Fatalf("full is %v with %d that wait", r.full(), i+1)
			}
		}
		if got := receive(t, read); got != "" {
			t.Fatalf("%q was written before submit", got)
		}
		if err := r.submit(); err != nil {
			t.Fatal(err)
		}
		if done != n {
			t.Fatalf("round %d: told of %d writes, want %d", round, done, n)
		}
		for i := range n {
			if got, want := receive(t, read), fmt.Sprintf("round %d, write %d", round, i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	if err := r.submit(); err != nil {
		t.Errorf("submitting nothing: %v", err)
	}
}

// A write that fails is told of with its error, does not keep the others back,
// and is never waited for: the file cannot take more, or is closed.
func TestRingTellsErrors(t *testing.T) {
	r := testRing(t)
	write, read := datagrams(t)
	full, _ := datagrams(t)
	for unix.SetsockoptInt(full, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096) == nil {
		if _, err := unix.Write(full, make([]byte, 1024)); err == unix.EAGAIN {
			break
		}
	}
	var got [4]unix.Errno
	note := func(i int) func(int, unix.Errno) {
		return func(_ int, errno unix.Errno) { got[i] = errno }
	}
	r.put(write, "first", note(0))
	r.put(full, "no room", note(1))
	r.put(-1, "no file", note(2))
	r.put(write, "last", note(3))
	began := time.Now()
	if err := r.submit(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("submit waited %v for a file that has no room", took)
	}
	if want := [4]unix.Errno{0, unix.EAGAIN, unix.EBADF, 0}; got != want {
		t.Errorf("the writes ended with %v, want %v", got, want)
	}
	if a, b := receive(t, read), receive(t, read); a != "first" || b != "last" {
		t.Errorf("written %q and %q", a, b)
	}
}

// A ring that the kernel refuses to serve ends, and what waited is lost, but
// nothing hangs.
func TestRingThatIsGone(t *testing.T) {
	r := testRing(t)
	write, _ := datagrams(t)
	fd := r.fd
	r.fd = -1
	defer func() { r.fd = fd }()
	r.put(write, "a", func(int, unix.Errno) {})
	r.put(write, "b", func(int, unix.Errno) {})
	if err := r.submit(); err == nil {
		t.Error("submitting to a closed ring is no error")
	}
}

// An output's small packets wait for the flush, a long one lets those before
// it go first, and all are counted as before.
func TestOutputKeepsOrderAcrossSizes(t *testing.T) {
	write, read := datagrams(t)
	b := &batch{testRing(t)}
	o := newOutput([2]int{write, write}, [2]int{-1, -1}, b)
	send := func(n int, fill byte) {
		t.Helper()
		o.vectors[1].Base = &bytes.Repeat([]byte{fill}, n)[0]
		o.vectors[1].SetLen(n)
		if err := o.write(way{}, vnetHeaderLen, 2, n); err != nil {
			t.Fatal(err)
		}
	}
	send(100, 'a')
	send(200, 'b')
	if got := receive(t, read); got != "" {
		t.Fatalf("%d octets left before the flush", len(got))
	}
	send(slotSize-vnetHeaderLen, 'c')   // the longest that waits
	send(slotSize-vnetHeaderLen+1, 'd') // the shortest that does not
	for _, want := range []struct {
		n    int
		fill byte
	}{{100, 'a'}, {200, 'b'}, {slotSize - vnetHeaderLen, 'c'}, {slotSize - vnetHeaderLen + 1, 'd'}} {
		got := receive(t, read)
		if len(got) != vnetHeaderLen+want.n || got[vnetHeaderLen] != want.fill || got[len(got)-1] != want.fill {
			t.Fatalf("%d octets, want %d of %q", len(got), vnetHeaderLen+want.n, want.fill)
		}
	}
	for i := range 3 * ringEntries { // more than there is room for
		send(10+i, 'e')
	}
	b.flush()
	for i := range 3 * ringEntries {
		if got := receive(t, read); len(got) != vnetHeaderLen+10+i {
			t.Fatalf("packet %d has %d octets, want %d", i, len(got), vnetHeaderLen+10+i)
		}
	}
	if want := uint64(4 + 3*ringEntries); o.counters.Packets != want || o.counters.Lost != 0 {
		t.Errorf("counted %d packets and %d lost, want %d and none", o.counters.Packets, o.counters.Lost, want)
	}
}

// Without a ring everything is written at once.
func TestOutputWithoutRing(t *testing.T) {
	for _, b := range []*batch{nil, {}} {
		write, read := datagrams(t)
		o := newOutput([2]int{write, write}, [2]int{-1, -1}, b)
		o.vectors[1].Base = &[]byte("x")[0]
		o.vectors[1].SetLen(1)
		if err := o.write(way{}, vnetHeaderLen, 2, 1); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, read); len(got) != vnetHeaderLen+1 {
			t.Errorf("%d octets were written, want %d", len(got), vnetHeaderLen+1)
		}
		b.flush()
		b.close()
	}
}

// BenchmarkRing is one write of 64 octets among n, and by a call of its own.
func BenchmarkRing(b *testing.B) {
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(null)
	for _, n := range []int{1, 4, 16, ringEntries} {
		b.Run(fmt.Sprintf("writes-%d", n), func(b *testing.B) {
			r := testRing(b)
			failed := 0
			done := func(_ int, errno unix.Errno) {
				if errno != 0 {
					failed++
				}
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				for range n {
					r.add(null, 64, done)
				}
				if err := r.submit(); err != nil {
					b.Fatal(err)
				}
			}
			if failed > 0 {
				b.Fatalf("%d writes failed", failed)
			}
		})
	}
}
