package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tcpmitm/control"
	"tcpmitm/expect"
)

// exitUnjudged is the code of an expect that could not judge: the command line
// is wrong, or no tcpmitm answers. A test must not take it for a verdict.
const exitUnjudged = 2

type expectFlags struct {
	configFile, socket string

	rule, fired, closedBy, how, codes, reset string
	noDataAfterFIN, all, sinceStart          bool
	handshake, firstByte, atLeast, atMost    time.Duration
	connections                              uint64
	resentAtLeast, resentAtMost              uint64
	toClient, toServer                       string
	within                                   time.Duration
	junit                                    string
}

func newExpect() *cobra.Command {
	var f expectFlags
	c := &cobra.Command{
		Use:   "expect [filter] [-- COMMAND]",
		Short: "Waits until the running tcpmitm has seen what a test expects, and says so by its exit code",
		Long: "Watches the tcpmitm that runs on this host until everything that the flags name has been\n" +
			"seen: then the exit code is 0. If it has not within --within, or can no longer be, what was\n" +
			"seen instead is printed and the exit code is 1. A wrong command line, or no tcpmitm, is 2.\n\n" +
			"All conditions on a connection must hold for the same one, and for --connections of them.\n" +
			"Only connections count that end after the start of this command, or are open then; it says\n" +
			"\"watching\" on standard error when it has begun. So that nothing is missed, let it run your\n" +
			"COMMAND: it begins before that does, and --within counts from its end. Or ask afterwards\n" +
			"with --since-start: tcpmitm remembers the last 2,048 connections.\n\n" +
			"The filter is that of tcpmitm trace. docs/expect.md says more.",
		Example: "  tcpmitm expect --rule \"late goodbye\" --fired 1 --within 10s\n" +
			"  tcpmitm expect --closed-by server --no-data-after-fin port 80 -- curl -s http://10.2.0.2/\n" +
			"  tcpmitm expect --since-start --within 0s --connections 20 --all --codes \"-- --\"",
		RunE: func(c *cobra.Command, args []string) error {
			command := []string(nil)
			if n := c.ArgsLenAtDash(); n >= 0 {
				args, command = args[:n], args[n:]
			}
			return f.run(c.Context(), c.Flags().Changed, args, command, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.flags(c)
	return c
}

func (f *expectFlags) flags(c *cobra.Command) {
	socketFlag(c, &f.configFile, &f.socket)
	v := c.Flags()
	v.StringVar(&f.rule, "rule", "", "only connections that this rule took")
	v.StringVar(&f.fired, "fired", "", "faults acted so often in all: 3 (at least), =3, 2-5, or 0 (never)")
	v.StringVar(&f.closedBy, "closed-by", "", "who closed first: client, server or tcpmitm")
	v.StringVar(&f.how, "how", "", "how the end began: FIN, RST, timeout, rule, refused, unreachable, shutdown or operator")
	v.StringVar(&f.reset, "peer-reset", "", "who sent a RST: client or server")
	v.StringVar(&f.codes, "codes", "", "termination codes of the client leg and the server leg, such as \"-- sF\"; ? is any letter")
	v.BoolVar(&f.noDataAfterFIN, "no-data-after-fin", false, "nobody sent new data on a leg that had seen a FIN")
	v.DurationVar(&f.handshake, "handshake-within", 0, "the client's handshake took no longer")
	v.DurationVar(&f.firstByte, "first-byte-within", 0, "the server's first octet came no later after the SYN to it")
	v.DurationVar(&f.atLeast, "lasts-at-least", 0, "the connection lasted as long")
	v.DurationVar(&f.atMost, "lasts-at-most", 0, "the connection lasted no longer")
	v.Uint64Var(&f.resentAtLeast, "retransmissions-at-least", 0, "so many segments were sent again, by anybody, on both legs")
	v.Uint64Var(&f.resentAtMost, "retransmissions-at-most", 0, "no more than so many were")
	v.StringVar(&f.toClient, "bytes-to-client", "", "the client acknowledged at least so much: 5000, or 64KiB")
	v.StringVar(&f.toServer, "bytes-to-server", "", "the server acknowledged at least so much")
	v.Uint64Var(&f.connections, "connections", 1, "so many connections, at least")
	v.BoolVar(&f.all, "all", false, "every connection that ends, or it has failed")
	v.DurationVar(&f.within, "within", 10*time.Second, "wait at most so long; 0s looks once")
	v.BoolVar(&f.sinceStart, "since-start", false, "what was since tcpmitm's start counts, too")
	v.StringVar(&f.junit, "junit", "", "write the results into this file, as JUnit XML")
}

// expectation is a command line, understood.
type expectation struct {
	wanted  expect.Wanted
	filter  string
	simple  bool // all connections of a rule, or of all rules
	command []string
}

// run judges, and writes down what came of it.
func (f *expectFlags) run(ctx context.Context, given func(string) bool, args, command []string, stdout, stderr io.Writer) error {
	x, err := f.understand(given, args)
	if err != nil {
		return usageError{err}
	}
	x.command = command
	if f.socket, err = socketOf(f.configFile, f.socket, stderr); err != nil {
		return codeError{exitUnjudged, err}
	}
	var report *os.File
	if f.junit != "" {
		// That it cannot be written is better known before the test.
		if report, err = os.Create(f.junit); err != nil {
			return codeError{exitUnjudged, fmt.Errorf("the results cannot be written: %w", err)}
		}
		defer report.Close()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	judge := expect.NewJudge(x.wanted)
	broken := f.watch(ctx, x, judge, stdout, stderr)
	took := time.Since(began)
	results, ok := judge.Results()
	if broken == nil {
		tellResults(stdout, results, ok, took)
	}
	if report != nil {
		if broken != nil {
			results = nil
		}
		if err := errors.Join(expect.WriteJUnit(report, "tcpmitm expect", began, took, results, broken), report.Close()); err != nil {
			return codeError{exitUnjudged, fmt.Errorf("the results cannot be written: %w", err)}
		}
	}
	switch {
	case broken != nil:
		return codeError{exitUnjudged, broken}
	case !ok:
		return saidError{errors.New("not met")}
	}
	return nil
}

func tellResults(stdout io.Writer, results []expect.Result, ok bool, took time.Duration) {
	for _, r := range results {
		word := "met:    "
		if !r.OK {
			word = "NOT met:"
		}
		fmt.Fprintf(stdout, "%s %s; seen: %s\n", word, r.Name, r.Seen)
	}
	word := "as expected"
	if !ok {
		word = "NOT as expected"
	}
	fmt.Fprintf(stdout, "%s, after %v\n", word, took.Round(time.Millisecond))
}

// The look at the gateway: how often, and for how long between two of them
// compared with how long one takes.
const (
	lookPause  = 100 * time.Millisecond
	lookFactor = 5
)

// watch looks at the gateway until there is a judgement. An error means that
// there is none.
func (f *expectFlags) watch(ctx context.Context, x *expectation, judge *expect.Judge, stdout, stderr io.Writer) error {
	w := &witness{client: control.NewClient(f.socket), judge: judge, x: x, rule: f.rule}
	if err := w.begin(ctx, f.sinceStart); err != nil {
		return err
	}
	fmt.Fprintln(stderr, "watching")
	var ended <-chan error // the command
	deadline := time.Now().Add(f.within)
	if len(x.command) > 0 {
		c := exec.CommandContext(ctx, x.command[0], x.command[1:]...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, stdout, stderr
		if err := c.Start(); err != nil {
			return fmt.Errorf("the command cannot be run: %w", err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Wait() }()
		ended = done
	}
	for {
		began := time.Now()
		last := ended == nil && !began.Before(deadline)
		if err := w.look(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return err
		}
		if ended == nil && (last || judge.State() != expect.Waiting) {
			return nil
		}
		pause := max(lookPause, lookFactor*time.Since(began))
		if ended == nil {
			pause = min(pause, max(time.Until(deadline), time.Millisecond))
		}
		select {
		case err := <-ended:
			ended, deadline = nil, time.Now().Add(f.within)
			if err != nil {
				fmt.Fprintf(stderr, "the command ended with %v\n", err)
			}
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.New("interrupted")
		}
	}
}
