// Command tcpmitm ends TCP connections on a gateway, twice: once towards the
// client and once towards the server. See README.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that is not to be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// saidError ends the program with exitFailed after everything has been said.
type saidError struct{ error }

// codeError ends the program with a code of its own. What is to be said has
// been said, unless there is an error inside.
type codeError struct {
	code int
	error
}

func (e codeError) Unwrap() error { return e.error }

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs a command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var usage usageError
	var said saidError
	var code codeError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		if code.error != nil {
			fmt.Fprintf(stderr, "tcpmitm: %v\n", code.error)
		}
		return code.code
	case errors.As(err, &said):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tcpmitm: %v; `tcpmitm --help` says more\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "tcpmitm: %v\n", err)
	return exitFailed
}

// extraCommands are those that a build tag adds; see man.go.
var extraCommands []func() *cobra.Command

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:               "tcpmitm",
		Short:             "Ends TCP connections on a gateway twice, and does to each side what rules say",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              noArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, add := range extraCommands {
		root.AddCommand(add())
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheck(), newDoctor(), newFirewall(), newStatus(), newSS(), newKill(), newRule(), newTrace(), newCapture(), newExpect(), newVersion(),
		newLab(), newLabEnter(), newLabGateway())
	return root
}

// noArgs is the Args of commands that take flags only.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasAvailableSubCommands() {
		return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
	}
	return usageError{fmt.Errorf("%s takes no argument such as %q", c.CommandPath(), args[0])}
}
