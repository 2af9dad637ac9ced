package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tcpmitm/config"
)

// configFlag gives a command its --config.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "", "configuration file; without one, the defaults hold")
}

// socketVariable names the control socket where no configuration does: inside
// a lab, that of the lab.
const socketVariable = "TCPMITM_SOCKET"

// load reads a configuration. What is wrong in the file is said on stderr,
// one line for each problem.
func load(file string, stderr io.Writer) (*config.Config, error) {
	if file == "" {
		c := config.Default()
		if socket := os.Getenv(socketVariable); socket != "" {
			c.Control.Socket = socket
		}
		return c, nil
	}
	c, err := config.Load(file)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		for _, line := range wrong.Lines() {
			fmt.Fprintln(stderr, line)
		}
		return nil, saidError{err}
	}
	return c, err
}
