package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"tcpmitm/control"
	"tcpmitm/trace"
)

// maxVerdicts is how many connections are reported on at the end; more of
// them nobody reads.
const maxVerdicts = 20

// labView shows what happens in a lab. A nil one shows nothing.
type labView struct {
	run    *labRun
	stream *control.Stream
	cancel context.CancelFunc
	done   chan struct{} // closed when the last event has come

	viewers  []viewer  // each told of every event until it has seen enough
	file     io.Closer // of --trace-to
	closing  func() error
	live     bool           // verdicts have been shown when they came
	verdicts []*trace.Event // the first ones, otherwise
	over     int            // connections
	matched  int            // of these, by a rule
	fired    map[firing]uint64
	err      error
}

// firing names a fault of a rule.
type firing struct {
	rule   string
	stream bool
	index  int
	text   string
}

// newLabView attaches to the gateway, if anybody wants to see anything.
func newLabView(r *labRun) (*labView, error) {
	f := r.flags
	v := &labView{run: r, done: make(chan struct{}), fired: map[firing]uint64{}}
	if err := v.open(); err != nil {
		return nil, err
	}
	filter := ""
	if len(v.viewers) == 0 {
		if f.quiet {
			return nil, nil
		}
		// Nobody looks at segments, so nobody shall have to describe them.
		filter = "verdicts"
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := r.client.Events(ctx, filter, 0)
	if err != nil {
		cancel()
		return nil, errors.Join(err, v.shut())
	}
	v.stream, v.cancel = stream, cancel
	go v.read()
	return v, nil
}

// open opens what is drawn on.
func (v *labView) open() error {
	f, stderr := v.run.flags, v.run.stderr
	switch {
	case f.ladder != "":
		file, err := os.OpenFile(f.ladder, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return fmt.Errorf("the ladder cannot be written: %w", err)
		}
		v.file = file
		v.viewers = append(v.viewers, newTextViewer(file))
	case f.trace, !f.noTrace && isTerminal(stderr):
		v.live = true
		v.viewers = append(v.viewers, newTextViewer(stderr))
	}
	if f.svg == "" {
		return nil
	}
	picture, err := (&traceFlags{svg: f.svg}).viewer(nil, stderr)
	if err != nil {
		return errors.Join(err, v.shut())
	}
	v.viewers, v.closing = append(v.viewers, picture), picture.end
	return nil
}

func newTextViewer(w io.Writer) viewer {
	out := bufio.NewWriter(w)
	return &textViewer{out, trace.NewLadder(out, trace.LadderOptions{Colour: isTerminal(w)})}
}

// shut closes the file of --trace-to.
func (v *labView) shut() error {
	if v.file == nil {
		return nil
	}
	return v.file.Close()
}

// read shows events until the gateway ends. That something cannot be shown,
// because a reader has gone, does not end it: what is counted is still wanted.
func (v *labView) read() {
	defer close(v.done)
	for {
		e, raw, err := v.stream.NextRaw()
		if err != nil {
			return
		}
		v.viewers = slices.DeleteFunc(v.viewers, func(w viewer) bool {
			done, err := w.show(e, raw)
			return done || err != nil
		})
		v.count(e)
	}
}

// count notes a connection that is over.
func (v *labView) count(e *trace.Event) {
	if e.Type != trace.TypeClosed || e.Verdict == nil {
		return
	}
	v.over++
	if e.Rule != "" {
		v.matched++
	}
	if len(v.verdicts) < maxVerdicts {
		v.verdicts = append(v.verdicts, e)
	}
	for _, f := range e.Verdict.Fired {
		v.fired[firing{e.Rule, f.Stream, f.Index, f.Text}] += uint64(f.Count)
	}
}

// end waits for the last events and says what came of it all.
func (v *labView) end() {
	if v == nil {
		return
	}
	select {
	case <-v.done:
	case <-time.After(labEventsLimit):
		v.cancel()
		<-v.done
	}
	stderr := v.run.stderr
	if v.closing != nil {
		if err := v.closing(); err != nil {
			fmt.Fprintf(stderr, "tcpmitm: %v\n", err)
		}
	}
	if !v.run.flags.quiet {
		v.summary(stderr)
	}
}

// summary says what happened, in few lines.
func (v *labView) summary(out io.Writer) {
	if !v.live {
		ladder := trace.NewLadder(out, trace.LadderOptions{Colour: isTerminal(out)})
		for _, e := range v.verdicts {
			ladder.Draw(e)
		}
		if more := v.over - len(v.verdicts); more > 0 {
			fmt.Fprintf(out, "... and %d more connections\n", more)
		}
	}
	rules := v.run.conf.Rules.Len()
	switch {
	case v.over == 0:
		fmt.Fprintf(out, "no connection went through the gateway; %s\n", v.run.ruleHint())
		return
	case rules > 0 && v.matched == 0:
		fmt.Fprintf(out, "no rule matched any connection; %s\n", v.run.ruleHint())
		return
	case v.over == 1:
		return // all is said
	}
	fmt.Fprintf(out, "%d connections, %d by a rule\n", v.over, v.matched)
	for _, f := range v.ordered() {
		fmt.Fprintf(out, "  ▲ %d × %s, rule %q\n", v.fired[f], f.text, f.rule)
	}
}

// ordered are the faults in the order of the rules' names, and then of the file.
func (v *labView) ordered() (list []firing) {
	for f := range v.fired {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b firing) int {
		n := cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.index, b.index), cmp.Compare(a.text, b.text))
		if a.stream != b.stream && a.rule == b.rule {
			n = 1
			if b.stream {
				n = -1
			}
		}
		return n
	})
	return list
}

// close lets go of everything, if end has not.
func (v *labView) close() {
	if v == nil {
		return
	}
	v.cancel()
	<-v.done
	_ = v.stream.Close()
	_ = v.shut()
}
