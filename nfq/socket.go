package nfq

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer is asked of the kernel for the netlink socket, in
	// octets; it counts the queued super-packets at twice this (socket(7)).
	receiveBuffer = 32 << 20
	// ackWait bounds the wait for the kernel's answer to a configuration
	// message. It answers within the system call that sends the message.
	ackWait = 2 * time.Second
	// ackBuffer holds any answer; what is longer is a packet of 64 KiB that
	// came in between.
	ackBuffer = 80 << 10
)

var errSocketClosed = errors.New("nfq: socket closed")

// openNetlink opens a netlink socket to netfilter, in the network namespace
// of the calling thread.
func openNetlink() (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return -1, 0, fmt.Errorf("%w: netlink to netfilter: modprobe nfnetlink_queue: %w", ErrNoKernel, err)
		}
		return -1, 0, fmt.Errorf("opening a netlink socket: %w", err)
	}
	fail := func(what string, err error) (int, uint32, error) {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("%s a netlink socket: %w", what, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail("binding", err)
	}
	// Without the privilege for the large buffer the ordinary bound holds;
	// whoever lacks it fails at the bind of the queue, with a better text.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	// With ENOBUFS the kernel would, after one overrun, refuse every packet
	// until the reader has emptied the socket. Without it only what does not
	// fit is lost, and the socket still counts that.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return fail("configuring", err)
	}
	// A failure's answer need not repeat the verdicts.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return fail("configuring", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fail("naming", err)
	}
	return fd, sa.(*unix.SockaddrNetlink).Pid, nil
}

// configSocket is the netlink.Socket on which the library binds, configures
// and unbinds the queue. It carries its requests and the kernel's answers to
// them; packets pass it by, for our own reader takes them from the same
// descriptor. While there is no request to be answered, Receive blocks until
// Close: the library's receiving goroutine rests there.
type configSocket struct {
	fd   int
	stop chan struct{}
	once sync.Once

	// The rest belongs to whoever configures: the opener, and after Close
	// the library's goroutine, which unbinds.
	awaiting int    // requests not yet answered
	sequence uint32 // of the last request
	skipped  uint32 // highest id of packets that came while configuring
	any      bool   // there were such packets
}

func newConfigSocket(fd int) *configSocket {
	return &configSocket{fd: fd, stop: make(chan struct{})}
}

// Close ends the library's wait for packets. The descriptor stays open, for
// the library unbinds the queue after this.
func (s *configSocket) Close() error {
	s.once.Do(func() { close(s.stop) })
	return nil
}

func (s *configSocket) Send(m netlink.Message) error {
	b, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	if err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	if m.Header.Flags&netlink.Acknowledge != 0 {
		s.awaiting++
		s.sequence = m.Header.Sequence
	}
	return nil
}

func (s *configSocket) SendMessages(ms []netlink.Message) error {
	for _, m := range ms {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *configSocket) Receive() ([]netlink.Message, error) {
	if s.awaiting == 0 {
		<-s.stop
		return nil, errSocketClosed
	}
	s.awaiting--
	deadline := time.Now().Add(ackWait)
	buf := make([]byte, ackBuffer)
	for {
		n, err := unix.Read(s.fd, buf)
		switch {
		case err == nil:
			if m, ok := s.answer(buf[:n]); ok {
				return []netlink.Message{m}, nil
			}
			continue
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return nil, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("the kernel did not answer within %v: %w", ackWait, unix.ETIMEDOUT)
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

func (s *configSocket) ReceiveIter() iter.Seq2[netlink.Message, error] {
	return func(yield func(netlink.Message, error) bool) {
		ms, err := s.Receive()
		if err != nil {
			yield(netlink.Message{}, err)
			return
		}
		for _, m := range ms {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// answer finds the kernel's answer in one datagram and notes the packets in
// it, which need a verdict later.
func (s *configSocket) answer(b []byte) (netlink.Message, bool) {
	for kind, body := range messages(b) {
		switch kind {
		case msgPacket:
			var m message
			if len(body) >= nfgenmsgLen && m.parse(body[nfgenmsgLen:]) {
				s.skipped, s.any = m.id, true
			}
		case unix.NLMSG_ERROR:
			// The kernel sends each answer in a datagram of its own. That of
			// a verdict which came too late carries another number.
			var m netlink.Message
			if err := m.UnmarshalBinary(b); err == nil && m.Header.Sequence == s.sequence {
				return m, true
			}
		}
	}
	return netlink.Message{}, false
}
