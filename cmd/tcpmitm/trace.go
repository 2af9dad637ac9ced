package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tcpmitm/control"
	"tcpmitm/trace"
)

// hexSnap is how many octets of a segment's payload --hex shows.
const hexSnap = 256

type traceFlags struct {
	file, socket string
	asJSON, hex  bool
	noColour     bool
	svg          string
	conn         uint64
	count        int
	length       time.Duration
	snap         int
}

func newTrace() *cobra.Command {
	var f traceFlags
	c := &cobra.Command{
		Use:   "trace [filter]",
		Short: "Shows what happens on both legs of connections, live, as a ladder",
		Long: "Attaches to the tcpmitm that runs on this host and shows each segment on both legs,\n" +
			"with relative sequence numbers, state changes, and what faults of rules do, until\n" +
			"Ctrl-C. Any number of lines may be lost if they come faster than they can be\n" +
			"written; the gateway never waits, and the loss is said.\n\n" +
			"The filter chooses by host ADDRESS[/LENGTH], client ..., server ..., port N[-M],\n" +
			"client port ..., server port ..., rule NAME, leg client|server, conn N, faults, and\n" +
			"verdicts, joined by and, or, not and parentheses.",
		Example: "  tcpmitm trace port 80 and client 10.1.0.0/16\n" +
			"  tcpmitm trace --json faults\n" +
			"  tcpmitm trace --svg ladder.svg rule \"late goodbye\"",
		RunE: func(c *cobra.Command, args []string) error {
			return runTrace(c.Context(), &f, args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	socketFlag(c, &f.file, &f.socket)
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON, one object a line; docs/trace.md explains the fields")
	c.Flags().BoolVar(&f.hex, "hex", false, "print the octets of each segment, header and payload")
	c.Flags().IntVar(&f.snap, "snaplen", hexSnap, "with --hex, at most so many octets of each payload")
	c.Flags().StringVar(&f.svg, "svg", "", "write one connection as a picture into this file: the first that begins, or --conn")
	c.Flags().Uint64Var(&f.conn, "conn", 0, "only the connection with this number")
	c.Flags().IntVar(&f.count, "count", 0, "end after so many events")
	c.Flags().DurationVar(&f.length, "for", 0, "end after this time, for example 10s")
	c.Flags().BoolVar(&f.noColour, "no-color", false, "no colours, even on a terminal")
	return c
}

// filterOf is the filter of a command line. A word with blanks in it was quoted
// in the shell, which has taken the quotation marks away.
func filterOf(args []string, conn uint64) (string, error) {
	text := joined(args)
	if conn != 0 {
		only := "conn " + strconv.FormatUint(conn, 10)
		if strings.TrimSpace(text) != "" {
			only += " and (" + text + ")"
		}
		text = only
	}
	// What is wrong with it is better said here than by the gateway.
	if _, err := trace.ParseFilter(text); err != nil {
		return "", usageError{err}
	}
	return text, nil
}

// selectionOf is filterOf for what chooses among live connections.
func selectionOf(args []string) (string, error) {
	text := joined(args)
	if _, err := trace.ParseSelection(text); err != nil {
		return "", usageError{err}
	}
	return text, nil
}

// joined are the words of a command line as one text.
func joined(args []string) string {
	words := append([]string(nil), args...)
	if len(words) > 1 {
		for i, w := range words {
			if strings.ContainsAny(w, " \t") && !strings.ContainsAny(w, `"'()`) {
				words[i] = `"` + w + `"`
			}
		}
	}
	return strings.Join(words, " ")
}

func runTrace(ctx context.Context, f *traceFlags, args []string, stdout, stderr io.Writer) error {
	filter, err := f.check(args)
	if err != nil {
		return err
	}
	if f.socket, err = socketOf(f.file, f.socket, stderr); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.length)
		defer cancel()
	}
	snap := 0
	if f.hex {
		snap = f.snap
	}
	stream, err := control.NewClient(f.socket).Events(ctx, filter, snap)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer stream.Close()
	v, err := f.viewer(stdout, stderr)
	if err != nil {
		return err
	}
	return errors.Join(f.read(ctx, stream, v), v.end())
}

// check judges the flags together, and reads the filter.
func (f *traceFlags) check(args []string) (filter string, err error) {
	switch {
	case f.svg != "" && (f.asJSON || f.hex):
		return "", usageError{errors.New("--svg writes a picture: leave --json and --hex out")}
	case f.count < 0 || f.length < 0 || f.snap < 0:
		return "", usageError{errors.New("--count, --for and --snaplen must not be negative")}
	}
	return filterOf(args, f.conn)
}

// read shows events until there are enough of them, the time is over, or the
// gateway ends.
func (f *traceFlags) read(ctx context.Context, stream *control.Stream, v viewer) error {
	for shown := 0; f.count == 0 || shown < f.count; {
		e, raw, err := stream.NextRaw()
		switch {
		case err != nil && ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading events: %w", err)
		}
		done, err := v.show(e, raw)
		if done || err != nil {
			return err
		}
		if e.Type != trace.TypeLost {
			shown++
		}
	}
	return nil
}

// viewer is one way of showing events. show tells whether it has seen enough.
type viewer interface {
	show(e *trace.Event, raw []byte) (done bool, err error)
	end() error
}

func (f *traceFlags) viewer(stdout, stderr io.Writer) (viewer, error) {
	switch {
	case f.svg != "":
		// That the file cannot be written is better known now than at the end;
		// what is in it is replaced when there is something better.
		out, err := os.OpenFile(f.svg, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		fresh := err == nil
		if errors.Is(err, os.ErrExist) {
			out, err = os.OpenFile(f.svg, os.O_WRONLY, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("the picture cannot be written: %w", err)
		}
		return &svgViewer{file: out, fresh: fresh, name: f.svg, named: f.conn != 0, stderr: stderr}, nil
	case f.asJSON:
		return &jsonViewer{stdout}, nil
	}
	out := bufio.NewWriter(stdout)
	opt := trace.LadderOptions{Colour: isTerminal(stdout) && !f.noColour, Hex: f.hex}
	return &textViewer{out, trace.NewLadder(out, opt)}, nil
}

// textViewer prints a ladder.
type textViewer struct {
	out    *bufio.Writer
	ladder *trace.Ladder
}

func (v *textViewer) show(e *trace.Event, _ []byte) (bool, error) {
	v.ladder.Draw(e)
	// Whoever reads along wants each line when it happens.
	return false, v.out.Flush()
}

func (v *textViewer) end() error { return nil }

// jsonViewer prints the lines as the gateway wrote them.
type jsonViewer struct{ out io.Writer }

func (v *jsonViewer) show(_ *trace.Event, raw []byte) (bool, error) {
	_, err := v.out.Write(append(raw, '\n'))
	return false, err
}

func (v *jsonViewer) end() error { return nil }

// svgViewer gathers one connection: the first that begins before its eyes, or
// the one that was named.
type svgViewer struct {
	file    *os.File
	fresh   bool // there was no such file
	name    string
	named   bool
	conn    uint64
	picture trace.Picture
	stderr  io.Writer
}

func (v *svgViewer) show(e *trace.Event, _ []byte) (bool, error) {
	if v.conn == 0 && e.Type == trace.TypeSegment && (v.named || e.Begins()) {
		v.conn = e.Conn
	}
	if v.conn != 0 && (e.Conn == v.conn || e.Type == trace.TypeLost) {
		v.picture.Add(e)
	}
	return e.Type == trace.TypeClosed && e.Conn == v.conn && v.conn != 0, nil
}

func (v *svgViewer) end() error {
	if v.picture.Empty() {
		_ = v.file.Close()
		if v.fresh {
			_ = os.Remove(v.name)
		}
		if v.named {
			return errors.New("there is no picture: the connection said nothing meanwhile, or there is none of this number; `tcpmitm ss -i` lists them")
		}
		return errors.New("there is no picture: no connection began meanwhile; name one that is open with --conn, from `tcpmitm ss -i`")
	}
	err := errors.Join(v.cut(), v.picture.WriteSVG(v.file), v.file.Close())
	if err != nil {
		return fmt.Errorf("the picture cannot be written: %w", err)
	}
	fmt.Fprintf(v.stderr, "connection %d is drawn in %s\n", v.conn, v.name)
	return nil
}

// cut throws away what an older file holds; there is nothing to cut of a pipe.
func (v *svgViewer) cut() error {
	if i, err := v.file.Stat(); err != nil || !i.Mode().IsRegular() {
		return err
	}
	return v.file.Truncate(0)
}
