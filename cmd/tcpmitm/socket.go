package main

import (
	"io"

	"github.com/spf13/cobra"

	"tcpmitm/config"
)

// socketFlag gives a command that talks to the running program its --config
// and its --socket.
func socketFlag(c *cobra.Command, file, socket *string) {
	configFlag(c, file)
	c.Flags().StringVar(socket, "socket", "", "control socket; without it, that of the configuration ("+config.Default().Control.Socket+")")
}

// socketOf is the control socket that the two flags name.
func socketOf(file, socket string, stderr io.Writer) (string, error) {
	if socket != "" {
		return socket, nil
	}
	conf, err := load(file, stderr)
	if err != nil {
		return "", err
	}
	return conf.Control.Socket, nil
}
