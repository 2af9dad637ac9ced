package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// labCapture writes the packets of a lab into a file. A nil one writes nothing.
type labCapture struct {
	stderr io.Writer
	stop   context.CancelFunc
	done   chan error
}

// newLabCapture attaches to the gateway, if there is to be a file.
func newLabCapture(r *labRun) (*labCapture, error) {
	if r.flags.capture == "" {
		return nil, nil
	}
	f := &captureFlags{file: r.flags.capture}
	// Standard output is the command's.
	k, err := f.keeper(nil, r.stderr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := r.client.Capture(ctx, "", 0)
	if err != nil {
		cancel()
		_ = k.end()
		return nil, err
	}
	c := &labCapture{stderr: r.stderr, stop: cancel, done: make(chan error, 1)}
	go func() {
		// It ends with the gateway.
		err := f.collect(ctx, func() {}, readBlocks(ctx, stream), nil, k)
		_ = stream.Close()
		if e := k.end(); err == nil {
			err = e
		}
		c.done <- err
	}()
	return c, nil
}

// end waits until the last packets are in the file.
func (c *labCapture) end() {
	if c == nil || c.done == nil {
		return
	}
	var err error
	select {
	case err = <-c.done:
	case <-time.After(labEventsLimit):
		c.stop()
		err = <-c.done
	}
	c.stop()
	c.done = nil
	if err != nil {
		fmt.Fprintf(c.stderr, "tcpmitm: the capture is not complete: %v\n", err)
	}
}
