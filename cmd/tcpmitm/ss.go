package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"tcpmitm/control"
)

// shownByDefault is how many connections a person can still want to read.
const shownByDefault = 10_000

func newSS() *cobra.Command {
	var file, socket string
	var asJSON, all, info bool
	var limit int
	c := &cobra.Command{
		Use:   "ss",
		Short: "Lists live connections, both legs, with their states as ss(8) names them",
		Long: "Lists live connections of the tcpmitm that runs on this host, oldest first.\n" +
			"The client leg's state is that of our endpoint towards the client, the server leg's\n" +
			"that towards the server. TO SERVER and TO CLIENT count the octets that each has\n" +
			"acknowledged. A server that the host translates (DNAT) is shown as address=target.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			socket, err := socketOf(file, socket, c.ErrOrStderr())
			if err != nil {
				return err
			}
			list, err := control.NewClient(socket).Connections(c.Context(), limit, all)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			return list.WriteTable(c.OutOrStdout(), info)
		},
	}
	socketFlag(c, &file, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVarP(&info, "info", "i", false, "tell of each leg its round-trip times, windows and retransmissions, and the connection's number")
	c.Flags().BoolVarP(&all, "all", "a", false, "list connections too that are over but for TIME-WAIT")
	c.Flags().IntVar(&limit, "limit", shownByDefault, "list at most so many connections")
	return c
}
