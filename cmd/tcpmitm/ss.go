package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"tcpmitm/control"
)

// shownByDefault is how many connections a person can still want to read.
const shownByDefault = 10_000

// selectionHelp explains what trace.ParseSelection reads.
const selectionHelp = "The filter chooses by host ADDRESS[/LENGTH], client ..., server ..., port N[-M],\n" +
	"client port ..., server port ..., rule NAME, conn N, faults (of its rule have acted),\n" +
	"state NAME, client state ..., server state ..., idle DURATION (nothing has come from\n" +
	"either peer for at least so long), and age DURATION, joined by and, or, not and\n" +
	"parentheses."

func newSS() *cobra.Command {
	var file, socket string
	var asJSON, all, info, syn bool
	var limit int
	c := &cobra.Command{
		Use:   "ss [filter]",
		Short: "Lists live connections, both legs, with their states as ss(8) names them",
		Long: "Lists live connections of the tcpmitm that runs on this host, oldest first.\n" +
			"The client leg's state is that of our endpoint towards the client, the server leg's\n" +
			"that towards the server. TO SERVER and TO CLIENT count the octets that each has\n" +
			"acknowledged. A server that the host translates (DNAT) is shown as address=target.\n\n" +
			selectionHelp,
		Example: "  tcpmitm ss state SYN-SENT\n" +
			"  tcpmitm ss -i server 10.2.0.0/16 and idle 10m",
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := selectionOf(args)
			if err != nil {
				return err
			}
			socket, err := socketOf(file, socket, c.ErrOrStderr())
			if err != nil {
				return err
			}
			ask := control.NewClient(socket)
			handshakes, err := ask.SYNRecv(c.Context())
			if err != nil {
				return err
			}
			if syn {
				if asJSON {
					return writeJSON(c.OutOrStdout(), handshakes)
				}
				return handshakes.WriteTable(c.OutOrStdout())
			}
			list, err := ask.Connections(c.Context(), filter, limit, all)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), list)
			}
			if err := list.WriteTable(c.OutOrStdout(), info); err != nil || !handshakes.Flood {
				return err
			}
			return handshakes.WriteTable(c.OutOrStdout())
		},
	}
	socketFlag(c, &file, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVarP(&info, "info", "i", false, "tell of each leg its round-trip times, windows and retransmissions, and the connection's number")
	c.Flags().BoolVarP(&all, "all", "a", false, "list connections too that are over but for TIME-WAIT")
	c.Flags().BoolVar(&syn, "syn", false, "list no connections, but handshakes in progress by the net of the client; during a SYN flood they are listed in any case")
	c.Flags().IntVar(&limit, "limit", shownByDefault, "list at most so many connections")
	return c
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
