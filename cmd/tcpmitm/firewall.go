package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tcpmitm/config"
	"tcpmitm/nfq"
)

func newFirewall() *cobra.Command {
	c := &cobra.Command{
		Use:   "firewall",
		Short: "Shows, applies or removes the firewall's rules that lead connections to tcpmitm",
		Long: "Shows, applies or removes the firewall's rules that lead connections to tcpmitm. `run`\n" +
			"puts them in when it starts and takes them out when it ends; these commands are for\n" +
			"looking at them, for a host on which nothing may pass before tcpmitm runs, and for\n" +
			"cleaning up by hand.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newFirewallPlan(), newFirewallApply(), newFirewallRemove(), newFirewallGuard())
	return c
}

func newFirewallPlan() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "plan",
		Aliases: []string{"show"},
		Short:   "Prints the rules that `run` would install, as iptables-save does, and changes nothing",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			fw, err := nfq.NewFirewall(interceptOf(&conf.Intercept))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(append(fw.Show(), fw.ShowBeside()...), "\n"))
			return err
		},
	}
	configFlag(c, &file)
	return c
}

// errHalfTaken is why rules that let packets pass are not put in alone.
var errHalfTaken = errors.New(`when_down is "bypass": with the rules and without tcpmitm, connections would pass with their SYN in a conntrack zone of its own, ` +
	`and break wherever this host translates addresses or judges by connection state; set when_down = "block" in [intercept] to hold new connections back until tcpmitm runs, ` +
	`or say --force on a gateway that only routes`)

func newFirewallApply() *cobra.Command {
	var file string
	var force bool
	c := &cobra.Command{
		Use:   "apply",
		Short: "Installs the rules without tcpmitm, so that nothing passes before it runs",
		Long: "Installs the rules that `run` would install, in this network namespace, and leaves them\n" +
			"there. It is refused while a tcpmitm runs; a run that starts afterwards puts in its own\n" +
			"rules in their place, and `firewall remove` takes them out.\n\n" +
			"With when_down = \"block\", the packets that the rules choose are dropped until somebody\n" +
			"reads the queues: new connections wait for tcpmitm (for as long as their clients send\n" +
			"SYNs again), and so do those that are open. That is for a host on which nothing may\n" +
			"pass uninspected, early at boot.\n\n" +
			"With when_down = \"bypass\" the kernel lets the packets pass while nobody reads. But\n" +
			"their SYNs are then in a connection tracking zone of their own: where this host\n" +
			"translates addresses (NAT) or judges by connection state, new connections break. So\n" +
			"this is refused unless you say --force, on a gateway that only routes.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			return apply(conf, force, c.ErrOrStderr())
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&force, "force", false, "even if the rules let packets pass while tcpmitm is away")
	return c
}

// apply puts the rules in, and holds the name of a run meanwhile, so that none
// starts in the middle of it.
func apply(conf *config.Config, force bool, stderr io.Writer) error {
	if conf.Intercept.WhenDown == config.Bypass && !force {
		return errHalfTaken
	}
	fw, err := nfq.NewFirewall(interceptOf(&conf.Intercept))
	if err != nil {
		return err
	}
	if err := nfq.CheckPrivilege(); err != nil {
		return err
	}
	lock, _, err := namespaceLocks.claim()
	if err != nil {
		return err
	}
	if lock != nil {
		defer lock.Close()
	}
	warnings, err := fw.Install()
	for _, w := range warnings {
		fmt.Fprintln(stderr, "tcpmitm: "+w)
	}
	return err
}

func newFirewallRemove() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "remove",
		Short: "Removes all rules of tcpmitm, whichever run installed them",
		Long: "Removes all rules of tcpmitm from this network namespace, whichever run or `firewall\n" +
			"apply` put them in, and ends the guard of a run that was killed. What a killed run has\n" +
			"switched on of the loopback device is switched off. Under a tcpmitm that runs it takes\n" +
			"away what its connections live from: they hang.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// All rules are found by their chains' names; a file that is wrong
			// must not keep them in.
			conf, err := load(file, io.Discard)
			if err != nil {
				conf, _ = load("", io.Discard)
			}
			return removeRules(nfq.LedgerOf(conf.Control.Socket))
		},
	}
	configFlag(c, &file)
	return c
}

// removeRules takes all rules out. It holds the name of a run meanwhile, before
// which a guard gives way, with the devices and queues that it holds. What else
// a killed run has changed of the host stands in its ledger.
func removeRules(ledger string) error {
	lock, _, err := namespaceLocks.claim()
	if errors.Is(err, errRunning) {
		return nfq.Clean()
	}
	if err != nil {
		return err
	}
	if lock != nil {
		defer lock.Close()
	}
	return errors.Join(nfq.Clean(), nfq.SwitchOff(nfq.TakeLoopback(ledger)))
}
