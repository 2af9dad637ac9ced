package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Says what is wrong with a configuration, and changes nothing",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("name the file with --config")}
			}
			conf, err := load(file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d rules\n", file, conf.Rules.Len())
			return err
		},
	}
	configFlag(c, &file)
	return c
}
