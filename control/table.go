package control

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable prints connections for people, in aligned columns; with info, two
// lines about its legs below each.
func (c *Connections) WriteTable(out io.Writer, info bool) error {
	var table strings.Builder
	if err := c.writeRows(&table); err != nil {
		return err
	}
	at := -1 // the first line is the heading
	for line := range strings.Lines(table.String()) {
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
		if info && at >= 0 && at < len(c.List) {
			n := &c.List[at]
			if _, err := fmt.Fprintf(out, "  conn %d\n  client leg  %s\n  server leg  %s\n", n.Conn, n.ClientLeg.Info.line(), n.ServerLeg.Info.line()); err != nil {
				return err
			}
		}
		at++
	}
	return nil
}

// line says what ss(8) -i would, in its words where it has some.
func (i *Info) line() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if i.RTT != nil && i.RTTVar != nil {
		add("rtt:%.3f/%.3f", *i.RTT, *i.RTTVar)
	}
	if i.MinRTT != nil {
		add("minrtt:%.3f", *i.MinRTT)
	}
	if i.RTO != nil {
		add("rto:%.0f", *i.RTO)
	}
	add("mss:%d cwnd:%d", i.MSS, i.Cwnd)
	add("wscale:%d,%d snd_wnd:%d rcv_wnd:%d", i.SendShift, i.ReceiveShift, i.SendWindow, i.ReceiveWindow)
	if i.PeerWindow != nil {
		add("peer_wnd:%d-%d", i.PeerWindow.Min, i.PeerWindow.Max)
	}
	add("segs_out:%d segs_in:%d", i.SegmentsOut, i.SegmentsIn)
	add("retrans:%d timeouts:%d peer_retrans:%d", i.Retransmits, i.Timeouts, i.PeerRetransmits)
	if i.OutOfOrder > 0 {
		add("ooo:%d", i.OutOfOrder)
	}
	if i.SACK {
		add("sack")
	}
	if i.Timestamps {
		add("ts")
	}
	if i.ECN {
		add("ecn")
	}
	return strings.Join(parts, " ")
}

func (c *Connections) writeRows(out io.Writer) error {
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
