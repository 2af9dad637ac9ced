package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"tcpmitm/trace"
)

// maxEventOctets bounds one line of a stream of events: a segment of 64 KiB in
// hexadecimal, and what is said of it.
const maxEventOctets = 256 << 10

// contextUntil is a context that ends with quit, too.
func contextUntil(ctx context.Context, quit <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Stream is a stream of events.
type Stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// Events attaches to the events that a filter (see trace.ParseFilter) chooses;
// with a snap above 0, segments come with at most so many octets of payload.
// From its return on nothing that happens is missed. The stream ends with ctx.
func (c *Client) Events(ctx context.Context, filter string, snap int) (*Stream, error) {
	q := url.Values{"filter": {filter}, "snap": {strconv.Itoa(snap)}}
	a, err := c.ask(ctx, &http.Client{Transport: c.http.Transport}, http.MethodGet, "/v1/events?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	s := &Stream{body: a.Body, lines: bufio.NewScanner(a.Body)}
	s.lines.Buffer(nil, maxEventOctets)
	return s, nil
}

// Next returns the next event, or io.EOF when the program has ended.
func (s *Stream) Next() (*trace.Event, error) {
	e, _, err := s.NextRaw()
	return e, err
}

// NextRaw returns the next event together with the line that it was read from,
// which is valid until the next call.
func (s *Stream) NextRaw() (*trace.Event, []byte, error) {
	if !s.lines.Scan() {
		err := s.lines.Err()
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF // a program that is killed does not say goodbye
		}
		return nil, nil, err
	}
	var e trace.Event
	if err := json.Unmarshal(s.lines.Bytes(), &e); err != nil {
		return nil, nil, fmt.Errorf("an event is not of this version of tcpmitm: %w", err)
	}
	return &e, s.lines.Bytes(), nil
}

// Close detaches.
func (s *Stream) Close() error { return s.body.Close() }
