package soak

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tcpmitm/test/lab"
)

// patient is a connection on which each read and write has to get on.
type patient struct {
	*net.TCPConn
	limit time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(p.limit))
	return p.TCPConn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(p.limit))
	return p.TCPConn.Write(b)
}

// prepare gives a connection what all of the applications have. Their kernels
// find a peer that is gone by keep-alives, and give up data that is not
// acknowledged.
func (w *waits) prepare(c *net.TCPConn) {
	_ = c.SetKeepAliveConfig(w.keepAlive)
	_ = setUserTimeout(c, w.userTimeout)
}

// server answers orders.
type server struct {
	waits   waits
	tally   *tally
	running sync.WaitGroup

	mu      sync.Mutex
	open    map[net.Conn]class
	waiting map[uint64]chan struct{} // by id: closed when that connection ends at the server
}

func newServer(w waits, t *tally) *server {
	return &server{waits: w, tally: t, open: map[net.Conn]class{}, waiting: map[uint64]chan struct{}{}}
}

// listen serves all ports of all classes, until the lab closes.
func (s *server) listen(l *lab.Lab) {
	ports := []uint16{idlePort, burstPort, vanishPort}
	for c := range classes {
		for i := range portsOfClass {
			ports = append(ports, c.port(i))
		}
	}
	for _, f := range []lab.Family{lab.IPv4, lab.IPv6} {
		for _, port := range ports {
			ln := l.Server.Listen(f.At(port))
			go s.accept(ln, classOf(port))
		}
	}
}

func (s *server) accept(ln *net.TCPListener, c class) {
	for {
		conn, err := ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a connection that was reset before it was taken
		}
		s.mu.Lock()
		s.open[conn] = c
		s.mu.Unlock()
		s.running.Go(func() {
			s.handle(conn, c)
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

// handle carries an order out. Who fails is told by the client; a server only
// knows of octets that are wrong.
func (s *server) handle(conn *net.TCPConn, c class) {
	defer conn.Close()
	s.waits.prepare(conn)
	// The client gives up first, where it does.
	p := patient{conn, s.waits.client(c) * 5 / 4}
	o, err := readOrder(p)
	if err == nil {
		defer s.over(o.id)
		err = s.serve(p, &o)
	}
	if errors.Is(err, errWrong) {
		s.tally.note("server, "+c.String(), corrupted, 0, err)
	}
}

func (s *server) serve(p patient, o *order) error {
	switch o.end {
	case echoes:
		return echo(p)
	case halfCloses:
		if err := receive(p, o.id, false, o.up, 0); err != nil {
			return err
		}
		if _, err := p.Read(make([]byte, 1)); err != io.EOF {
			return err
		}
		return errors.Join(send(p, o.id, true, o.down), say(p))
	case serverAbandons:
		o.down /= 2
	}
	sent := make(chan error, 1)
	go func() { sent <- send(p, o.id, true, o.down) }()
	err := receive(p, o.id, false, o.up, 0)
	if err != nil {
		// Both ways end, or the other would wait for its own patience.
		_ = p.SetLinger(0)
		_ = p.Close()
		return errors.Join(err, <-sent)
	}
	if err := <-sent; err != nil {
		return err
	}
	if o.end == serverAbandons {
		return p.SetLinger(0)
	}
	if err := say(p); err != nil {
		return err
	}
	switch o.end {
	case serverCloses:
		// The client's own end is waited for, for with data of the client's
		// still to be read this would be a reset.
		if err := p.CloseWrite(); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, p)
	case serverResets:
		_ = p.SetLinger(0)
		_, err = p.Read(make([]byte, 1)) // the client has read all
	default:
		_, err = io.Copy(io.Discard, p)
	}
	return err
}

// say tells the peer that all it has sent was right.
func say(w io.Writer) error {
	_, err := w.Write([]byte{done})
	return err
}

// echo sends back what comes. Silence has no bound but the kernel's: the peer
// is asked by keep-alives.
func echo(p patient) error {
	if err := p.SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := io.Copy(p.TCPConn, p.TCPConn)
	return err
}

// await returns what is closed when the connection of an order ends at the
// server. It is asked for before the order is given.
func (s *server) await(id uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.waiting[id] = c
	return c
}

func (s *server) over(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.waiting[id]; c != nil {
		close(c)
		delete(s.waiting, id)
	}
}

// left is how many connections there are, by class.
func (s *server) left() (n [classes]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		n[c]++
	}
	return n
}
