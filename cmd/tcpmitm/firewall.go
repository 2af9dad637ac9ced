package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tcpmitm/nfq"
)

func newFirewall() *cobra.Command {
	c := &cobra.Command{
		Use:   "firewall",
		Short: "Shows or removes the firewall's rules that lead connections to tcpmitm",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newFirewallShow(), newFirewallRemove(), newFirewallGuard())
	return c
}

func newFirewallShow() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "show",
		Short: "Prints the rules that `run` would install, as iptables-save does, and changes nothing",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			fw, err := nfq.NewFirewall(interceptOf(&conf.Intercept))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(fw.Show(), "\n"))
			return err
		},
	}
	configFlag(c, &file)
	return c
}

func newFirewallRemove() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "remove",
		Short: "Removes all rules of tcpmitm, whichever run installed them",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return nfq.Clean() },
	}
	// All rules are found by their chains' names, so nothing of the file is
	// needed; the flag is there because all other commands have it.
	configFlag(c, &file)
	return c
}

// guardArgs are the arguments with which this program becomes the guard.
var guardArgs = []string{"firewall", "guard"}

// newFirewallGuard is the process that outlives a killed run; see nfq.Guard.
func newFirewallGuard() *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Short:  "Waits for its standard input to end, then removes all rules",
		Hidden: true,
		Args:   noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			run := os.Getppid()
			return nfq.RunGuard(c.InOrStdin(), func() error { return namespaceLocks.cleanAfter(run, nfq.Clean) })
		},
	}
}
