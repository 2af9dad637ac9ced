package journal

import (
	"context"
	"encoding/json"
	"log/slog"

	"tcpmitm/trace"
)

// Options say where a Journal is written.
type Options struct {
	File   string
	Size   int64        // of one file, octets; 0 is without end
	Keep   int          // old files
	Logger *slog.Logger // is told when the journal cannot be written; nil is nobody
}

// Journal writes the faults of a Tracer's shards.
type Journal struct {
	opt    Options
	tap    *trace.Tap
	file   file
	broken bool   // the last line could not be written
	unsaid uint64 // lines that could not be written
	done   chan struct{}
}

// Start opens the file and writes from then on. The error says why the file
// cannot be opened. The journal ends when the tracer is closed; see Wait.
func Start(t *trace.Tracer, opt Options) (*Journal, error) {
	j := &Journal{opt: opt, file: file{name: opt.File, size: opt.Size, keep: opt.Keep}, done: make(chan struct{})}
	if err := j.file.open(); err != nil {
		return nil, err
	}
	var err error
	if j.tap, err = t.SubscribeFaults(); err != nil {
		j.file.close()
		return nil, err
	}
	go j.run()
	return j, nil
}

// Wait returns when everything that was told before the tracer was closed is
// written.
func (j *Journal) Wait() { <-j.done }

// run is the one goroutine that writes.
func (j *Journal) run() {
	defer close(j.done)
	defer j.tap.Close()
	for {
		e, err := j.tap.Next(context.Background())
		if err != nil {
			j.note(j.file.close())
			return
		}
		j.write(e)
		if !j.tap.Waiting() {
			j.note(j.file.flush())
		}
	}
}

func (j *Journal) write(e *trace.Event) {
	b, err := json.Marshal(e)
	if err != nil {
		// An event is made of plain values; this would be a fault of ours.
		panic("journal: " + err.Error())
	}
	if err = j.file.line(append(b, '\n')); err != nil {
		j.unsaid++
	}
	j.note(err)
}

// note tells the log once that the journal cannot be written, and once that
// it can again.
func (j *Journal) note(err error) {
	if j.opt.Logger == nil || (err != nil) == j.broken {
		return
	}
	if j.broken = err != nil; j.broken {
		j.opt.Logger.Error("faults are missing in the journal from here on", "file", j.opt.File, "error", err)
		return
	}
	j.opt.Logger.Info("the journal is written again", "file", j.opt.File, "lines_missing", j.unsaid)
	j.unsaid = 0
}
