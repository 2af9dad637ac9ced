package splice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tcpmitm/endpoint"
)

// Errors of Do.
var (
	ErrBusy    = errors.New("splice: too many questions are waiting for the shard; ask again")
	ErrStopped = errors.New("splice: the shard has stopped")
)

// question is a function that waits to be run on the shard's goroutine.
type question struct {
	ask  func(*Shard)
	done chan struct{}
}

// Run drives the shard until ctx is done or the device fails; then all
// connections are reset. It is the one goroutine that the shard belongs to.
func (s *Shard) Run(ctx context.Context) error {
	defer close(s.stopped)
	defer context.AfterFunc(ctx, s.dev.Wake)()
	handle := s.HandlePacket
	for ctx.Err() == nil {
		err := s.dev.Receive(s.patience(), handle)
		if err != nil {
			s.Shutdown(s.dev.Now())
			s.dev.Flush()
			return fmt.Errorf("splice: shard %d cannot receive packets any more: %w", s.opt.Index, err)
		}
		s.ReadMail()
		now := s.dev.Now()
		s.Transmit(now)
		s.HandleTimeouts(now)
		s.Transmit(now)
	}
	s.Shutdown(s.dev.Now())
	s.dev.Flush()
	return nil
}

// patience is how long Receive may wait.
func (s *Shard) patience() time.Duration {
	at := s.NextTimeout()
	if at == endpoint.Never {
		return -1
	}
	return max(0, at.Sub(s.dev.Now()))
}

// ReadMail answers the questions and judges the packets of other shards that
// have come so far.
func (s *Shard) ReadMail() {
	for n := len(s.questions); n > 0; n-- {
		q := <-s.questions
		q.ask(s)
		// Whoever asked may go on to take the way away on which it leaves.
		s.dev.Flush()
		close(q.done)
	}
	for n := len(s.foreign); n > 0; n-- {
		s.handleForeign(s.dev.Now(), <-s.foreign)
	}
}

// Do runs a function on the shard's goroutine and returns when it is done. It
// may be called from any other goroutine; it is how live state is looked at
// and changed.
func (s *Shard) Do(ask func(*Shard)) error {
	q := question{ask, make(chan struct{})}
	select {
	case <-s.stopped:
		return ErrStopped
	case s.questions <- q:
	default:
		return ErrBusy
	}
	s.dev.Wake()
	select {
	case <-q.done:
		return nil
	case <-s.stopped:
		// The last thing the shard did may have been to answer.
		select {
		case <-q.done:
			return nil
		default:
			return ErrStopped
		}
	}
}
