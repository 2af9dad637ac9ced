package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tcpmitm/config"
	"tcpmitm/nfq"
	"tcpmitm/trace"
)

// maxSignals is how many signals may wait: the first stops, the second stops
// at once, the third ends the process.
const maxSignals = 3

type runFlags struct {
	file, level, format string
	ladder              bool
	adjust              func(*config.Config) // what somebody else has decided, or nil
}

func newRun() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Intercepts connections until it is told to stop (SIGTERM or Ctrl-C)",
		Long: "Intercepts connections until it is told to stop (SIGTERM or Ctrl-C). At SIGHUP the rules\n" +
			"are read from the file again; see tcpmitm rule. A service manager is told of start,\n" +
			"reload and stop, and its watchdog that all is well (sd_notify).",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(&f, c.OutOrStdout(), c.ErrOrStderr()) },
	}
	configFlag(c, &f.file)
	c.Flags().BoolVarP(&f.ladder, "verbose", "v", false, "print every segment on both legs as a ladder, on standard output")
	c.Flags().BoolVar(&f.ladder, "trace", false, "the same as --verbose; tcpmitm trace attaches to a run that is under way")
	c.Flags().StringVar(&f.level, "log-level", "", "debug, info, warn or error, instead of the configuration's")
	c.Flags().StringVar(&f.format, "log-format", "", "text or json, instead of the configuration's")
	return c
}

func run(f *runFlags, stdout, stderr io.Writer) error {
	conf, err := load(f.file, stderr)
	if err != nil {
		return err
	}
	f.adjusted(conf)
	// The flags are not the file's: a reload compares with what that said.
	logged := conf.Log
	if err := f.apply(&logged); err != nil {
		return err
	}
	signals := make(chan os.Signal, maxSignals)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	log := newLogger(stderr, &logged)
	opt := trace.Options{Logger: log, Full: logged.Format == config.JSON, Epoch: nfq.Epoch()}
	if f.ladder {
		opt.Ladder, opt.Colour = stdout, isTerminal(stdout)
	}
	tracer := trace.New(opt)
	journal, err := keepJournal(&conf.Journal, tracer, log)
	if err != nil {
		tracer.Close()
		return err
	}
	defer journal()
	var reload func() (*config.Config, error)
	if f.file != "" {
		reload = func() (*config.Config, error) {
			conf, err := config.Load(f.file)
			if err == nil {
				f.adjusted(conf)
			}
			return conf, err
		}
	}
	g, err := start(conf, logged, reload, log, tracer)
	if err != nil {
		tracer.Close()
		return err
	}
	cause := g.wait(signals, hangups)
	err = g.stop(signals)
	tracer.Close()
	if cause != nil {
		err = cause
	}
	log.Info("stopped")
	return err
}

func (f *runFlags) adjusted(c *config.Config) {
	if f.adjust != nil {
		f.adjust(c)
	}
}

// apply lets the flags have their way with the configuration.
func (f *runFlags) apply(c *config.Log) error {
	switch f.format {
	case "":
	case "text":
		c.Format = config.Text
	case "json":
		c.Format = config.JSON
	default:
		return usageError{fmt.Errorf("--log-format is %q: must be text or json", f.format)}
	}
	if f.level == "" {
		return nil
	}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[f.level]
	if !ok {
		return usageError{fmt.Errorf("--log-level is %q: must be debug, info, warn or error", f.level)}
	}
	c.Level = level
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
