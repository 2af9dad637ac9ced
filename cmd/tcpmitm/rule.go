package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tcpmitm/control"
)

// ruleFlags are those of all commands about rules.
type ruleFlags struct {
	file, socket string
	asJSON, live bool
}

func newRule() *cobra.Command {
	c := &cobra.Command{
		Use:   "rule",
		Short: "Lists, switches, changes and reloads the rules of the tcpmitm that runs on this host",
		Long: "Lists, switches, changes and reloads the rules of the tcpmitm that runs on this host.\n" +
			"New connections meet the rules as they are; those that are open keep the rules they\n" +
			"were born with, unless --live says otherwise. Changes last until the next reload or\n" +
			"restart: what is to stay belongs into the configuration.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newRuleList(), newRuleSwitch("enable", true), newRuleSwitch("disable", false), newRuleSet(), newRuleReload())
	return c
}

// flags gives a command the flags that it shares; live says what --live does,
// "" that there is nothing live about it.
func (f *ruleFlags) flags(c *cobra.Command, live string) *cobra.Command {
	socketFlag(c, &f.file, &f.socket)
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	if live != "" {
		c.Flags().BoolVar(&f.live, "live", false, live)
	}
	return c
}

func (f *ruleFlags) client(c *cobra.Command) (*control.Client, error) {
	socket, err := socketOf(f.file, f.socket, c.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	return control.NewClient(socket), nil
}

// print writes an answer, as JSON or in words.
func (f *ruleFlags) print(c *cobra.Command, v any, words func(out io.Writer) error) error {
	out := c.OutOrStdout()
	if !f.asJSON {
		return words(out)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newRuleList() *cobra.Command {
	var f ruleFlags
	return f.flags(&cobra.Command{
		Use:   "list",
		Short: "Lists the rules in their order, whether they are in force, and what they have done",
		Long: "Lists the rules in their order, whether they are in force, and what they have done.\n" +
			"STATE is on or off; with a timeline also for how long, or when; stopped means that\n" +
			"the rule's faults have been ended on open connections. REACHED counts the\n" +
			"connections whose addresses and ports matched, TAKEN those that the rule decided,\n" +
			"FAULTS and STREAM what stands in the rule, and FIRED how often anything of it acted;\n" +
			"--json says so of each fault.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			list, err := client.Rules(c.Context())
			if err != nil {
				return err
			}
			return f.print(c, list, list.WriteTable)
		},
	}, "")
}

func newRuleSwitch(word string, on bool) *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:  word + " NAME",
		Args: names(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			r, err := client.SwitchRule(c.Context(), args[0], on, f.live)
			if err != nil {
				return err
			}
			return f.print(c, r, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "rule %q is %sd\n", r.Name, word)
				return err
			})
		},
	}
	if on {
		c.Short = "Lets a rule decide new connections"
		return f.flags(c, "take its faults up again on open connections too; stream policies that were ended stay so")
	}
	c.Short = "Keeps a rule from new connections"
	return f.flags(c, "end its faults and stream policies on open connections too")
}

func newRuleSet() *cobra.Command {
	var f ruleFlags
	var unset []string
	c := &cobra.Command{
		Use:   "set NAME KEY=VALUE ...",
		Short: "Changes what a rule says, for new connections",
		Long: "Changes what a rule says, for new connections. KEY=VALUE is TOML as in the\n" +
			"configuration, laid over what the rule says: tables are changed key by key, anything\n" +
			"else as a whole. The keys of match may be written without it, elements of lists are\n" +
			"counted from 1, and a value of one word needs no quotes.",
		Example: "  tcpmitm rule set \"late goodbye\" probability=0.2 seed=8\n" +
			"  tcpmitm rule set \"late goodbye\" faults.3.by=5s client.mss=900\n" +
			"  tcpmitm rule set \"late goodbye\" 'ports = [80, \"8000-8099\"]' --unset client.sack",
		Args: names(1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && len(unset) == 0 {
				return usageError{errors.New("say what to change, for example probability=0.2")}
			}
			client, err := f.client(c)
			if err != nil {
				return err
			}
			r, err := client.SetRule(c.Context(), &control.RuleChange{Name: args[0], Set: args[1:], Unset: unset, Live: f.live})
			if err != nil {
				return err
			}
			return f.print(c, r, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "rule %q is changed for new connections\n", r.Name)
				return err
			})
		},
	}
	c.Flags().StringArrayVar(&unset, "unset", nil, "take out a key; may be given several times")
	return f.flags(c, "end what the rule did before the change on open connections; they do not get the change")
}

func newRuleReload() *cobra.Command {
	var f ruleFlags
	return f.flags(&cobra.Command{
		Use:   "reload",
		Short: "Lets tcpmitm read the rules from its configuration again, as SIGHUP does",
		Long: "Lets tcpmitm read the rules from its configuration again, as SIGHUP does, and says what\n" +
			"is wrong with it: then everything stays as it is. All rules change at once. A rule\n" +
			"that keeps its name keeps its counters. Everything but the rules needs a restart.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			r, err := client.ReloadRules(c.Context(), f.live)
			if err != nil {
				return err
			}
			return f.print(c, r, func(out io.Writer) error {
				for _, w := range r.Warnings() {
					fmt.Fprintln(c.ErrOrStderr(), "warning: "+w)
				}
				_, err := fmt.Fprintf(out, "rules in force: %d\n", r.Rules)
				return err
			})
		},
	}, "end the faults and stream policies of all rules before on open connections")
}

// names is the Args of commands about one rule, which have from least to most
// arguments; -1 is any number.
func names(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError{fmt.Errorf("name the rule: %s", c.UseLine())}
		case most >= 0 && len(args) > most:
			return usageError{fmt.Errorf("%s takes no argument such as %q: a name with blanks needs quotes", c.CommandPath(), args[most])}
		}
		return nil
	}
}
