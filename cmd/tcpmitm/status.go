package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"tcpmitm/control"
)

// exitUnhealthy is the exit code of a status that has problems.
const exitUnhealthy = 3

func newStatus() *cobra.Command {
	var file, socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Tells how the running tcpmitm is: limits and their use, queues, shards, problems",
		Long: "Tells how the tcpmitm that runs on this host is: its limits and how much of them is in\n" +
			"use, its queues as the kernel counts them, whether its shards answer, and what is wrong\n" +
			"at present. What on the host is in its way, `tcpmitm doctor` finds.\n\n" +
			"The exit code is 0 if all is well, 3 if there are problems, and 1 if nobody answers.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			socket, err := socketOf(file, socket, c.ErrOrStderr())
			if err != nil {
				return err
			}
			st, err := control.NewClient(socket).Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(st)
			} else {
				err = st.WriteText(c.OutOrStdout())
			}
			if err == nil && !st.Healthy {
				err = codeError{code: exitUnhealthy}
			}
			return err
		},
	}
	socketFlag(c, &file, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
