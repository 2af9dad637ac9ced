package main

import (
	"log/slog"

	"tcpmitm/config"
	"tcpmitm/journal"
	"tcpmitm/trace"
)

// keepJournal writes the journal that the configuration asks for, if any. Once
// the tracer is closed, wait returns when all of it is written.
func keepJournal(c *config.Journal, tracer *trace.Tracer, log *slog.Logger) (wait func(), err error) {
	if c.File == "" {
		return func() {}, nil
	}
	j, err := journal.Start(tracer, journal.Options{File: c.File, Size: c.Size, Keep: c.Keep, Logger: log})
	if err != nil {
		return nil, err
	}
	return j.Wait, nil
}
