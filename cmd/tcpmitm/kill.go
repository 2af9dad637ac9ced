package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"tcpmitm/control"
)

type killFlags struct {
	file, socket       string
	all, dryRun        bool
	asJSON, quietCount bool
}

func newKill() *cobra.Command {
	var f killFlags
	c := &cobra.Command{
		Use:   "kill {filter | number...}",
		Short: "Ends connections at once: both peers of each get a RST",
		Long: "Ends live connections of the tcpmitm that runs on this host: those that a filter\n" +
			"chooses, or those with the given numbers, which `tcpmitm ss -i` shows. Both peers of\n" +
			"each get a RST with the sequence number that they expect, however long they have been\n" +
			"silent; what was under way between them is lost. Connections that begin meanwhile, or\n" +
			"later, are not touched: for that there are rules.\n\n" +
			selectionHelp + "\n\n" +
			"The exit code is 0 if connections were ended (with --dry-run: would be), and 1 if\n" +
			"there were none, or not all of the given numbers.",
		Example: "  tcpmitm kill 17 23\n" +
			"  tcpmitm kill --dry-run server port 5432 and idle 10m\n" +
			"  tcpmitm kill rule \"late goodbye\" and state ESTAB",
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	socketFlag(c, &f.file, &f.socket)
	c.Flags().BoolVar(&f.all, "all", false, "end every connection")
	c.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "only tell which would be ended")
	c.Flags().BoolVarP(&f.quietCount, "quiet", "q", false, "print only how many there were")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return c
}

// errNotKilled is that there was nobody to kill; what has been said.
var errNotKilled = errors.New("no such connection")

func (f *killFlags) run(ctx context.Context, args []string, out, stderr io.Writer) error {
	question, err := f.question(args)
	if err != nil {
		return err
	}
	socket, err := socketOf(f.file, f.socket, stderr)
	if err != nil {
		return err
	}
	done, err := control.NewClient(socket).Kill(ctx, question)
	if err != nil {
		return err
	}
	if err := f.print(out, stderr, done); err != nil {
		return err
	}
	if done.Killed == 0 || len(done.Missing) > 0 {
		return saidError{errNotKilled}
	}
	return nil
}

// question reads whom the command line means.
func (f *killFlags) question(args []string) (*control.Kill, error) {
	k := &control.Kill{All: f.all, DryRun: f.dryRun}
	switch {
	case f.all && len(args) > 0:
		return nil, usageError{errors.New("--all is everybody: leave the filter out, or --all")}
	case f.all:
		return k, nil
	case len(args) == 0:
		return nil, usageError{errors.New("say which connections to end: a filter, numbers from `tcpmitm ss -i`, or --all")}
	}
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil {
			k.Conns = nil
			break
		}
		k.Conns = append(k.Conns, n)
	}
	if k.Conns != nil {
		return k, nil
	}
	var err error
	if k.Filter, err = selectionOf(args); err == nil && k.Filter == "" {
		err = usageError{errors.New("the filter is empty; --all ends every connection")}
	}
	return k, err
}

func (f *killFlags) print(out, stderr io.Writer, done *control.Killed) error {
	if f.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(done)
	}
	if !f.quietCount {
		for _, c := range done.List {
			rule := ""
			if c.Rule != "" {
				rule = fmt.Sprintf(", rule %q", c.Rule)
			}
			fmt.Fprintf(out, "connection %d: %v -> %v%s\n", c.Conn, c.Client, c.Server, rule)
		}
		if more := done.Killed - len(done.List); more > 0 {
			fmt.Fprintf(out, "and %d more\n", more)
		}
	}
	for _, n := range done.Missing {
		fmt.Fprintf(stderr, "tcpmitm: there is no live connection %d\n", n)
	}
	what := "ended"
	if f.dryRun {
		what = "would be ended"
	}
	_, err := fmt.Fprintf(out, "%d %s\n", done.Killed, what)
	return err
}
