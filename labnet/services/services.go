// Package services is a server to try things with: HTTP on port 80, and the
// small services of 1983 that have been tried things with ever since: echo
// (RFC 862) on port 7, discard (RFC 863) on 9, the character generator (RFC
// 864) on 19. HTTP and echo have ten more ports each, from 8000 and from 7000
// on, for configurations in which each port has another rule.
//
// Listen opens the sockets, in whatever network namespace the calling thread
// is; Serve answers until Close.
package services

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Ports of the services.
const (
	EchoPort    = 7
	DiscardPort = 9
	ChargenPort = 19
	HTTPPort    = 80
	MoreEcho    = 7000
	MoreHTTP    = 8000
	more        = 10 // ports from MoreEcho and from MoreHTTP on
)

// maxConnections bounds the connections of each of the small services; one
// more waits until another ends.
const maxConnections = 1024

// Server serves.
type Server struct {
	listeners []listener
	web       *http.Server
	quit      chan struct{}
	running   sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // of the small services; nil when it is over
}

// service is what is done on a port; nil means HTTP.
type service func(*net.TCPConn) error

// ports are all ports with their services.
func ports() map[int]service {
	all := map[int]service{EchoPort: echo, DiscardPort: discard, ChargenPort: chargen, HTTPPort: nil}
	for i := range more {
		all[MoreEcho+i], all[MoreHTTP+i] = echo, nil
	}
	return all
}

// listener is an open port.
type listener struct {
	net.Listener
	serve service
}

// Listen opens all sockets. On an error none is left open.
func Listen() (*Server, error) {
	s := newServer()
	for port, serve := range ports() {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening on port %d: %w", port, err), s.Close())
		}
		s.listeners = append(s.listeners, listener{l, serve})
	}
	return s, nil
}

func newServer() *Server {
	return &Server{quit: make(chan struct{}), open: map[net.Conn]bool{}}
}

// Serve answers from now on.
func (s *Server) Serve() {
	s.web = &http.Server{Handler: Web(), ReadHeaderTimeout: time.Minute}
	for _, l := range s.listeners {
		s.running.Go(func() {
			if l.serve == nil {
				_ = s.web.Serve(l)
				return
			}
			s.accept(l)
		})
	}
}

// accept serves one of the small services.
func (s *Server) accept(l listener) {
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-s.quit:
			return
		}
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !s.note(conn) {
			_ = conn.Close()
			return
		}
		s.running.Go(func() {
			// How it ends is the client's affair.
			_ = l.serve(conn.(*net.TCPConn))
			_ = conn.Close()
			s.forget(conn)
			<-slots
		})
	}
}

func (s *Server) note(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open[c] = true
	return true
}

func (s *Server) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Close ends everything at once.
func (s *Server) Close() error {
	var errs []error
	close(s.quit)
	for _, l := range s.listeners {
		errs = append(errs, closed(l))
	}
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		errs = append(errs, closed(c))
	}
	if s.web != nil {
		errs = append(errs, closed(s.web))
	}
	s.running.Wait()
	return errors.Join(errs...)
}

// closed closes what may have been closed meanwhile.
func closed(c io.Closer) error {
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// echo sends back what comes, and then the end.
func echo(c *net.TCPConn) error {
	_, err := io.Copy(c, c)
	return err
}

// discard reads what comes and says nothing.
func discard(c *net.TCPConn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// The character generator's lines, as RFC 864 recommends: 72 of the 95
// printable characters, each line beginning one later.
const (
	firstPrintable, printables = ' ', 95
	chargenLine                = 72
)

// chargen sends until the peer closes; what comes is thrown away.
func chargen(c *net.TCPConn) error {
	go func() {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	pattern := chargenPattern()
	for {
		if _, err := c.Write(pattern); err != nil {
			return err
		}
	}
}

// chargenPattern is all that the character generator ever says, once.
func chargenPattern() []byte {
	var b []byte
	for start := range printables {
		for i := range chargenLine {
			b = append(b, byte(firstPrintable+(start+i)%printables))
		}
		b = append(b, '\r', '\n')
	}
	return b
}
