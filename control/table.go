package control

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteTable prints connections for people, in aligned columns.
func (c *Connections) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLIENT LEG\tSERVER LEG\tCLIENT\tSERVER\tTO SERVER\tTO CLIENT\tAGE\tRULE")
	for i := range c.List {
		n := &c.List[i]
		server := n.Server.String()
		if n.Target.IsValid() && n.Target != n.Server {
			server += "=" + n.Target.String()
		}
		rule := n.Rule
		if rule == "" {
			rule = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\n", n.ClientLeg.State, n.ServerLeg.State, n.Client, server,
			octets(n.ToServer), octets(n.ToClient), age(n.Age), rule)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := c.Total - len(c.List); more > 0 {
		_, err := fmt.Fprintf(out, "and %d more: ask for them with --limit\n", more)
		return err
	}
	return nil
}

// octets writes a number of octets as people read it.
func octets(n uint64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, prefixes := float64(n)/unit, "kMGTPE"
	// Rounded, 999.96 would read 1000.0.
	for v >= unit-0.05 && len(prefixes) > 1 {
		v /= unit
		prefixes = prefixes[1:]
	}
	return fmt.Sprintf("%.1f %cB", v, prefixes[0])
}

// age writes seconds with as much precision as makes sense.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
