package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	streamBuffer = 128 << 10 // octets of one read or write, as iperf3's
	streamWarmUp = 300 * time.Millisecond
	maxStreams   = 16
)

// What a client says first on a connection to the stream server.
const (
	upload   = 'u'
	download = 'd'
)

// streamServer sends or receives as fast as it can.
type streamServer struct {
	listener net.Listener
	received atomic.Int64
}

func startStreams(n *namespace, address string) (*streamServer, error) {
	s := &streamServer{}
	err := n.in(func() (err error) {
		s.listener, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s, nil
}

func (s *streamServer) serve(c net.Conn) {
	defer c.Close()
	var order [1]byte
	if _, err := io.ReadFull(c, order[:]); err != nil {
		return
	}
	if order[0] == download {
		send(c)
	} else {
		receive(c, &s.received)
	}
}

func (s *streamServer) close() { _ = s.listener.Close() }

func send(c net.Conn) {
	for buf := make([]byte, streamBuffer); ; {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func receive(c net.Conn, count *atomic.Int64) {
	for buf := make([]byte, streamBuffer); ; {
		n, err := c.Read(buf)
		count.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// streamResult is what streams have moved, and what that cost.
type streamResult struct {
	octets  int64
	seconds float64
	used    usage
}

func (r streamResult) gigabits() float64  { return float64(r.octets) * 8 / 1e9 / r.seconds }
func (r streamResult) gigabytes() float64 { return float64(r.octets) / 1e9 }

// runStreams has n streams send in one direction, and counts what arrives
// from the end of the warm-up on.
func runStreams(s *site, server *streamServer, n int, direction byte, duration time.Duration) (r streamResult, err error) {
	if n > maxStreams {
		return r, fmt.Errorf("%d streams, at most %d", n, maxStreams)
	}
	var received atomic.Int64
	count := &received
	if direction == upload {
		count = &server.received
	}
	var workers sync.WaitGroup
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
		workers.Wait()
	}()
	for range n {
		var c net.Conn
		err := s.lab.client.in(func() (err error) {
			c, err = net.DialTimeout("tcp", fmt.Sprintf("%s:%d", s.target(), streamPort), ioLimit)
			return err
		})
		if err != nil {
			return r, err
		}
		// What is still under way at the end is not waited for.
		_ = c.(*net.TCPConn).SetLinger(0)
		conns = append(conns, c)
		if _, err := c.Write([]byte{direction}); err != nil {
			return r, err
		}
		workers.Go(func() {
			if direction == upload {
				send(c)
			} else {
				receive(c, count)
			}
		})
	}
	time.Sleep(streamWarmUp)
	before, err := usageNow(s.pid())
	from, began := count.Load(), time.Now()
	time.Sleep(duration)
	r.octets, r.seconds = count.Load()-from, time.Since(began).Seconds()
	after, err2 := usageNow(s.pid())
	r.used = after.minus(before)
	if err := errors.Join(err, err2); err != nil {
		return r, err
	}
	if r.octets == 0 {
		return r, errors.New("nothing arrived")
	}
	return r, nil
}
