package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tcpmitm/config"
	"tcpmitm/doctor"
	"tcpmitm/nfq"
)

type doctorFlags struct {
	file             string
	fix, asJSON, all bool
}

func newDoctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Finds what on this host would break interception, and says what to do about it",
		Long: "Finds what on this host, in this network namespace, would break interception with the\n" +
			"given configuration, and says for each finding what to do about it. It can be asked\n" +
			"before the first start and while tcpmitm runs. Whether the kernel takes the rules is\n" +
			"tried in a network namespace of its own; nothing is changed on the host itself.\n\n" +
			"With --fix it does what is safe: it loads modules, and sets the kernel's settings of\n" +
			"tcpmitm's own devices. All else, such as making the host a router or changing\n" +
			"another's rules, is left to you.\n\n" +
			"The exit code is 1 if anything is broken, and 0 if there are only warnings and notes.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.examine(doctor.ThisHost(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	configFlag(c, &f.file)
	c.Flags().BoolVar(&f.fix, "fix", false, "load modules and set what the kernel keeps for tcpmitm's own devices")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON, with what is in order as well")
	c.Flags().BoolVarP(&f.all, "all", "a", false, "print what is in order as well")
	return c
}

// errSick is that something is broken; what has been said.
var errSick = errors.New("something would break interception")

func (f *doctorFlags) examine(h *doctor.Host, out, stderr io.Writer) error {
	conf, err := load(f.file, stderr)
	if err != nil {
		return err
	}
	need, err := needOf(conf)
	if err != nil {
		return err
	}
	found := doctor.Examine(h, need)
	if f.fix {
		doctor.Fix(h, found)
	}
	if err := f.print(out, found); err != nil {
		return err
	}
	if doctor.Count(found, doctor.Broken) > 0 {
		return saidError{errSick}
	}
	return nil
}

// needOf says to the doctor what the configuration says.
func needOf(conf *config.Config) (doctor.Need, error) {
	in := interceptOf(&conf.Intercept)
	fw, err := nfq.NewFirewall(in)
	if err != nil {
		return doctor.Need{}, err
	}
	need := doctor.Need{
		Local:         conf.Intercept.Mode == config.Local,
		FirstQueue:    conf.Intercept.QueueBase,
		Queues:        in.Queues,
		Devices:       fw.DeviceNames(),
		Mark:          in.Mark,
		Zone:          conf.Intercept.Zone,
		Memory:        conf.Limits.Memory,
		Bypass:        in.Bypass,
		ReceiveBuffer: nfq.ReceiveBuffer,
		Rules:         [2]string{fw.Restore(false), fw.Restore(true)},
		Chains:        nfq.ChainPrefix,
		Lock:          namespaceLocks.run,
	}
	need.IPv4, need.IPv6 = need.Rules[0] != "", need.Rules[1] != ""
	return need, nil
}

func (f *doctorFlags) print(out io.Writer, found []doctor.Finding) error {
	broken, warnings := doctor.Count(found, doctor.Broken), doctor.Count(found, doctor.Warning)
	if f.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Broken   int              `json:"broken"`
			Warnings int              `json:"warnings"`
			Findings []doctor.Finding `json:"findings"`
		}{broken, warnings, found})
	}
	fixable := 0
	for i := range found {
		d := &found[i]
		if d.Level == doctor.OK && !f.all {
			continue
		}
		fmt.Fprintf(out, "%-8s %s: %s\n", d.Level, d.Check, d.Text)
		switch {
		case d.Fixed:
			fmt.Fprintf(out, "         fixed: %s\n", d.Remedy)
		case d.Failed != "":
			fmt.Fprintf(out, "         could not be fixed (%s); try: %s\n", d.Failed, d.Remedy)
		case d.Remedy != "":
			fmt.Fprintf(out, "         remedy: %s\n", d.Remedy)
		}
		if d.Fixable && !d.Fixed {
			fixable++
		}
	}
	fmt.Fprintf(out, "%d findings: %d broken, %d warnings, %d notes; %d in order\n", len(found), broken, warnings,
		doctor.Count(found, doctor.Note), doctor.Count(found, doctor.OK))
	if fixable > 0 && !f.fix {
		fmt.Fprintf(out, "%d of them can be fixed by tcpmitm doctor --fix\n", fixable)
	}
	return nil
}
