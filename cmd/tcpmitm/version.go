package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for a release.
var version = "0.1.0-dev"

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the program's version",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			line := "tcpmitm " + version
			if info, ok := debug.ReadBuildInfo(); ok {
				line += ", built with " + info.GoVersion
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), line)
			return err
		},
	}
}
