package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tcpmitm/config"
	"tcpmitm/labnet"
)

// Exit codes of `tcpmitm lab`, beside those of the command that it runs; env(1)
// and timeout(1) have the same.
const (
	exitLab       = 125 // the lab could not be made, or has failed
	exitCannotRun = 126
	exitNotFound  = 127
	exitSignal    = 128 // and the signal's number
)

type labFlags struct {
	file, level, server  string
	svg, ladder, capture string
	trace, noTrace       bool
	quiet, shell, noWire bool
	mtu                  int
	loss                 string
	linger               time.Duration

	lost float64 // what loss says
}

func newLab() *cobra.Command {
	var f labFlags
	c := &cobra.Command{
		Use:   "lab [--config FILE] -- COMMAND [ARGUMENT]...",
		Short: "Runs a command on the client of a small network made for it, with tcpmitm between",
		Long: "Makes three hosts in network namespaces, client, gateway and server, runs tcpmitm\n" +
			"with a configuration on the gateway and COMMAND on the client, and removes all of it\n" +
			"when COMMAND has ended. The exit code is COMMAND's.\n\n" +
			"The names client, gateway and server resolve. The server has HTTP on port 80 (/,\n" +
			"/close, /bytes/N, POST and PUT), echo on 7, discard on 9 and a character generator\n" +
			"on 19; --server runs a server of your own in its place. On a terminal, a ladder of\n" +
			"every connection is drawn on standard error; the verdicts come at the end otherwise.\n\n" +
			"Exit code 125 means that the lab failed, 126 and 127 that COMMAND could not be run.",
		Example: "  tcpmitm lab --config late-fin.toml -- curl -s http://server/\n" +
			"  tcpmitm lab --svg ladder.svg -- curl -s -o page http://server/bytes/100000\n" +
			"  tcpmitm lab --server 'nginx -c /srv/my.conf -g \"daemon off;\"' -- wrk http://server/\n" +
			"  tcpmitm lab --config late-fin.toml --shell",
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			return runLab(&f, args, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	configFlag(c, &f.file)
	// What follows the command's name is the command's.
	c.Flags().SetInterspersed(false)
	c.Flags().BoolVar(&f.shell, "shell", false, "open a shell on the client instead of running a command")
	c.Flags().StringVar(&f.server, "server", "", "run this command (by sh -c) as the server, instead of the built-in services")
	c.Flags().BoolVar(&f.trace, "trace", false, "draw the ladder even if standard error is no terminal")
	c.Flags().BoolVar(&f.noTrace, "no-trace", false, "draw no ladder")
	c.Flags().StringVar(&f.ladder, "trace-to", "", "draw the ladder into this file, or on this other terminal")
	c.Flags().StringVar(&f.svg, "svg", "", "write the first connection as a picture into this file")
	c.Flags().StringVar(&f.capture, "capture", "", "write the packets of both legs into this pcapng file, as tcpmitm capture does")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "say nothing of connections at the end")
	c.Flags().DurationVar(&f.linger, "linger", defaultLinger, "when the command has ended, wait at most so long for its connections to end")
	c.Flags().IntVar(&f.mtu, "mtu", 0, fmt.Sprintf("MTU of the links, %d to %d; IPv6 needs %d (default 1500)", labnet.LeastMTU, labnet.MostMTU, labnet.LeastMTU6))
	c.Flags().StringVar(&f.loss, "loss", "", "share of packets lost on each link, each way, for example 1% or 0.01")
	c.Flags().BoolVar(&f.noWire, "offload", false, "let the hosts exchange segments of up to 64 KiB: faster, but not what a wire would carry")
	c.Flags().StringVar(&f.level, "log-level", "warn", "what the gateway logs on standard error: debug, info, warn or error")
	return c
}

// defaultLinger is how long a lab waits for connections to end.
const defaultLinger = 5 * time.Second

// check judges flags and arguments together.
func (f *labFlags) check(args []string) error {
	switch {
	case f.shell && len(args) > 0:
		return usageError{errors.New("--shell runs a shell and no command: leave one of them out")}
	case !f.shell && len(args) == 0:
		return usageError{errors.New("lab wants a command to run on the client, for example: tcpmitm lab -- curl http://server/")}
	case f.trace && f.noTrace:
		return usageError{errors.New("--trace and --no-trace contradict each other: leave one of them out")}
	case f.ladder != "" && (f.trace || f.noTrace):
		return usageError{errors.New("--trace-to says where the ladder goes: leave --trace and --no-trace out")}
	case f.capture == toStdout:
		return usageError{errors.New("--capture wants a file: standard output is the command's")}
	case f.linger < 0:
		return usageError{errors.New("--linger must not be negative")}
	}
	if err := (&runFlags{level: f.level}).apply(&config.Log{}); err != nil {
		return err
	}
	var err error
	if f.lost, err = shareOf(f.loss); err != nil {
		return err
	}
	if f.mtu != 0 && (f.mtu < labnet.LeastMTU || f.mtu > labnet.MostMTU) {
		return usageError{fmt.Errorf("--mtu %d is not possible: it must be from %d to %d", f.mtu, labnet.LeastMTU, labnet.MostMTU)}
	}
	return nil
}

// shareOf reads a share: 1% or 0.01.
func shareOf(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return 0, usageError{fmt.Errorf("--loss %q is no share: write for example 1%% or 0.01", text)}
	}
	return v, nil
}

// commandOf finds the program that is to run on the client.
func (f *labFlags) commandOf(args []string) (path string, argv []string, err error) {
	if f.shell {
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		args = []string{shell}
	}
	path, err = exec.LookPath(args[0])
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", nil, codeError{exitNotFound, fmt.Errorf("there is no program %q: install it, or write the path of another", args[0])}
	case err != nil:
		return "", nil, codeError{exitCannotRun, fmt.Errorf("%q cannot be run: %w", args[0], err)}
	}
	return path, args, nil
}

// adjustToLab gives a configuration what it must have inside a lab, whatever
// the file says: its own control socket, and the gateway's own devices.
func adjustToLab(c *config.Config, socket string) {
	c.Control = config.Control{Socket: socket}
	in := &c.Intercept
	in.Mode, in.WhenDown, in.Drain = config.Gateway, config.Bypass, 0
	// The file's devices, if it names any, are those of another gateway.
	if len(in.ClientSide) > 0 || !in.Hinted() {
		in.ClientSide = []string{labnet.LAN}
	}
}

// newLabGateway is tcpmitm on the gateway of a lab.
func newLabGateway() *cobra.Command {
	var f runFlags
	var socket string
	c := &cobra.Command{
		Use:    "lab-gateway",
		Short:  "Is what `run` is, on the gateway of a lab",
		Hidden: true,
		Args:   noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.adjust = func(c *config.Config) { adjustToLab(c, socket) }
			return run(&f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	configFlag(c, &f.file)
	c.Flags().StringVar(&socket, "socket", "", "control socket")
	c.Flags().StringVar(&f.level, "log-level", "", "as that of run")
	return c
}

// newLabEnter is the process that becomes a program inside a lab.
func newLabEnter() *cobra.Command {
	c := &cobra.Command{
		Use:    "lab-enter HOST FOLDER SIGNAL PATH ARGUMENT0...",
		Short:  "Becomes a program on a host of a lab",
		Hidden: true,
		Args:   cobra.MinimumNArgs(5),
		RunE: func(_ *cobra.Command, args []string) error {
			signal, err := strconv.Atoi(args[2])
			if err != nil {
				return usageError{err}
			}
			err = labnet.Enter(labnet.Entry{
				Host: args[0], Folder: args[1], WhenOrphaned: signal,
				Path: args[3], Argv: args[4:], Environment: os.Environ(),
			})
			var cannot *labnet.ExecError
			if errors.As(err, &cannot) {
				return codeError{exitCannotRun, fmt.Errorf("%s cannot be run: %w", args[3], err)}
			}
			return codeError{exitLab, err}
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}
