package main

import (
	"io"
	"log/slog"
	"time"

	"tcpmitm/config"
)

// newLogger makes the log of a configuration.
func newLogger(out io.Writer, c *config.Log) *slog.Logger {
	opt := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.JSON {
		return slog.New(slog.NewJSONHandler(out, opt))
	}
	opt.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		// People read times better without the nanoseconds and the zone.
		if a.Key == slog.TimeKey && len(groups) == 0 && a.Value.Kind() == slog.KindTime {
			return slog.String(a.Key, a.Value.Time().Format(time.DateTime+".000"))
		}
		return a
	}
	return slog.New(slog.NewTextHandler(out, opt))
}
