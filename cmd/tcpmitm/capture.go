package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tcpmitm/capture"
	"tcpmitm/config"
	"tcpmitm/control"
)

const (
	// captureDrain is for how long packets are still taken after the end, so
	// that what was on its way here is in the file.
	captureDrain = 300 * time.Millisecond
	// maxBlocksWaiting bounds what is read ahead.
	maxBlocksWaiting = 64
	minRing          = 64 << 10
	maxRing          = 16 << 30
	maxCaptureFiles  = 1000 // of one ring
	toStdout         = "-"
)

type captureFlags struct {
	configFile, socket string
	file, ring         string
	ringOctets         int
	snap               int
	count              uint64
	length             time.Duration
}

func newCapture() *cobra.Command {
	var f captureFlags
	c := &cobra.Command{
		Use:   "capture -w FILE [filter]",
		Short: "Writes the packets of both legs into a pcapng file for Wireshark, faults as comments",
		Long: "Attaches to the tcpmitm that runs on this host and writes what it sends and receives as\n" +
			"pcapng, until Ctrl-C. The two legs are two interfaces, client and server. What a fault of\n" +
			"a rule did to a packet is a comment on that packet; one that a fault kept from leaving is\n" +
			"in the file, too, and its comment says so. The gateway never waits for the file: packets\n" +
			"that come faster than they can be written are missing, and their number is said.\n\n" +
			"With --ring only the last packets are kept, in memory. They are written at the end, and\n" +
			"each time the command gets SIGUSR1: into FILE first, then into FILE-2, FILE-3 and so on.\n\n" +
			"The filter is that of tcpmitm trace. docs/capture.md says more.",
		Example: "  tcpmitm capture -w a.pcapng port 80 and client 10.1.0.0/16\n" +
			"  tcpmitm capture -w - rule \"late goodbye\" | wireshark -k -i -\n" +
			"  tcpmitm capture -w last.pcapng --ring 64MiB --snaplen 128",
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	socketFlag(c, &f.configFile, &f.socket)
	c.Flags().StringVarP(&f.file, "write", "w", "", "the file; - is standard output")
	c.Flags().StringVar(&f.ring, "ring", "", "keep only the last packets in memory, as much as this, for example 64MiB")
	c.Flags().IntVar(&f.snap, "snaplen", 0, "keep at most so many octets of each packet; 0 keeps all")
	c.Flags().Uint64Var(&f.count, "count", 0, "end after so many packets")
	c.Flags().DurationVar(&f.length, "for", 0, "end after this time, for example 10s")
	return c
}

// check judges the flags together, and reads the filter.
func (f *captureFlags) check(args []string, stdout io.Writer) (filter string, err error) {
	switch {
	case f.file == "":
		return "", usageError{errors.New("say into which file with -w FILE, or -w - for standard output")}
	case f.length < 0 || f.snap < 0:
		return "", usageError{errors.New("--for and --snaplen must not be negative")}
	case f.snap >= capture.MaxSnap:
		return "", usageError{fmt.Errorf("--snaplen must be below %d: no packet is longer; without it, packets are whole", capture.MaxSnap)}
	case f.file == toStdout && isConsole(stdout):
		return "", usageError{errors.New("standard output is a terminal: name a file with -w, or lead it into a pipe, for example | wireshark -k -i -")}
	}
	if f.ring != "" {
		n, ok := config.ParseSize(f.ring)
		if !ok || n < minRing || n > maxRing {
			return "", usageError{fmt.Errorf("--ring %q must be a size from 64KiB to 16GiB, for example 64MiB", f.ring)}
		}
		f.ringOctets = int(n)
	}
	return filterOf(args, 0)
}

// isConsole tells a terminal.
func isConsole(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (f *captureFlags) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	filter, err := f.check(args, stdout)
	if err != nil {
		return err
	}
	if f.socket, err = socketOf(f.configFile, f.socket, stderr); err != nil {
		return err
	}
	// Who reads our standard output may leave: that is an end, and no death.
	signal.Ignore(syscall.SIGPIPE)
	dumps := make(chan os.Signal, 1)
	if f.ring != "" {
		signal.Notify(dumps, syscall.SIGUSR1)
		defer signal.Stop(dumps)
	}
	asked, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.length > 0 {
		var cancel context.CancelFunc
		asked, cancel = context.WithTimeout(asked, f.length)
		defer cancel()
	}
	reading, hangUp := context.WithCancel(ctx)
	defer hangUp()
	stream, err := control.NewClient(f.socket).Capture(reading, filter, f.snap)
	if err != nil {
		return err
	}
	defer stream.Close()
	k, err := f.keeper(stdout, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, "capturing both legs; Ctrl-C ends it")
	err = f.collect(asked, stop, readBlocks(reading, stream), dumps, k)
	if errors.Is(err, errReaderLeft) {
		return nil
	}
	return errors.Join(err, k.end())
}

// arrived is a block, or why there is no further one. idle tells that no other
// is at hand.
type arrived struct {
	block capture.Block
	idle  bool
	err   error
}

func readBlocks(ctx context.Context, stream io.Reader) <-chan arrived {
	out := make(chan arrived, maxBlocksWaiting)
	go func() {
		r := capture.NewBlockReader(stream)
		for {
			b, err := r.Next()
			select {
			case out <- arrived{b, !r.Waiting(), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// collect takes blocks until there are enough, the time is over, somebody
// asks for the end, or the gateway ends.
func (f *captureFlags) collect(asked context.Context, stop func(), blocks <-chan arrived, dumps <-chan os.Signal, k keeper) error {
	var drained <-chan time.Time
	end := asked.Done()
	for packets := uint64(0); f.count == 0 || packets < f.count; {
		select {
		case a := <-blocks:
			switch {
			case errors.Is(a.err, io.EOF):
				return nil
			case a.err != nil && drained != nil:
				return nil
			case a.err != nil:
				return fmt.Errorf("reading packets: %w", a.err)
			}
			if a.block.IsPacket() {
				packets++
			}
			if err := k.put(a.block, a.idle); err != nil {
				return err
			}
		case <-dumps:
			if err := k.dump(); err != nil {
				return err
			}
		case <-end:
			stop() // the next Ctrl-C ends the program at once
			end, drained = nil, time.After(captureDrain)
		case <-drained:
			return nil
		}
	}
	return nil
}

// keeper is what becomes of the packets.
type keeper interface {
	put(b capture.Block, idle bool) error
	dump() error
	end() error
}

func (f *captureFlags) keeper(stdout, stderr io.Writer) (keeper, error) {
	if f.ring != "" {
		// That the file cannot be made is better known now than when there
		// is something to write.
		if f.file != toStdout {
			dir := filepath.Dir(f.file)
			if i, err := os.Stat(dir); err != nil || !i.IsDir() {
				return nil, fmt.Errorf("%s cannot be made: there is no folder %s", f.file, dir)
			}
		}
		return &ringKeeper{ring: capture.NewRing(f.ringOctets), name: f.file, stdout: stdout, stderr: stderr}, nil
	}
	if f.file == toStdout {
		return &fileKeeper{file: capture.NewFile(stdout, "standard output"), name: "standard output", stderr: stderr}, nil
	}
	out, err := createCapture(f.file)
	if err != nil {
		return nil, err
	}
	return &fileKeeper{file: capture.NewFile(out, f.file), out: out, name: f.file, stderr: stderr}, nil
}

// createCapture makes a file that its owner alone can read: it holds what
// people say to servers.
func createCapture(name string) (*os.File, error) {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the capture cannot be made: %w", err)
	}
	return out, nil
}

// fileKeeper writes packets as they come.
type fileKeeper struct {
	file   *capture.File
	out    *os.File // nil: standard output
	name   string
	stderr io.Writer
	failed bool // nothing more can be written
}

func (k *fileKeeper) put(b capture.Block, idle bool) error {
	err := k.file.Put(b)
	if err == nil && idle {
		err = k.file.Flush()
	}
	k.failed = err != nil
	if k.out == nil && errors.Is(err, syscall.EPIPE) {
		return errReaderLeft
	}
	return err
}

// errReaderLeft ends a capture whose reader, for example Wireshark, was
// closed.
var errReaderLeft = errors.New("nobody reads standard output any more")

func (k *fileKeeper) dump() error { return nil }

func (k *fileKeeper) end() error {
	var err error
	if !k.failed {
		err = k.file.End()
	}
	if k.out != nil {
		err = errors.Join(err, k.out.Close())
	}
	if err == nil && !k.failed {
		say(k.stderr, k.name, k.file.Packets, k.file.Counts())
	}
	return err
}

// say tells what is in a file, and what is not.
func say(stderr io.Writer, name string, packets uint64, c capture.Counts) {
	fmt.Fprintf(stderr, "%d packets written to %s\n", packets, name)
	if c.Dropped > 0 {
		fmt.Fprintf(stderr, "%d packets are missing: they came faster than they could be written; --snaplen and a filter help\n", c.Dropped)
	}
}

// ringKeeper keeps the last packets, and writes them when it is asked to.
type ringKeeper struct {
	ring           *capture.Ring
	name           string
	written        int // files
	stdout, stderr io.Writer
}

func (k *ringKeeper) put(b capture.Block, _ bool) error {
	k.ring.Put(b)
	return nil
}

// dump writes the ring into the next file.
func (k *ringKeeper) dump() error {
	if k.name == toStdout {
		n, err := k.ring.Write(k.stdout, "standard output")
		if err == nil {
			say(k.stderr, "standard output", n, k.ring.Counts())
		}
		return err
	}
	if k.written == maxCaptureFiles {
		return fmt.Errorf("%d files were written: that is enough for one run", maxCaptureFiles)
	}
	k.written++
	name := numbered(k.name, k.written)
	out, err := createCapture(name)
	if err != nil {
		return err
	}
	n, err := k.ring.Write(out, name)
	if err = errors.Join(err, out.Close()); err == nil {
		say(k.stderr, name, n, k.ring.Counts())
	}
	return err
}

// numbered is the name of the n-th file: a.pcapng, a-2.pcapng.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + "-" + strconv.Itoa(n) + ext
}

// end writes what nobody has asked for so far.
func (k *ringKeeper) end() error {
	if k.written > 0 && !k.ring.Fresh() {
		return nil
	}
	return k.dump()
}
