package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// bufferSize gathers lines, in octets.
const bufferSize = 64 << 10

// file is a file that is begun anew when it has grown to its size.
type file struct {
	name string
	size int64 // octets, at most
	keep int   // old files

	f       *os.File
	w       *bufio.Writer
	written int64 // octets in the present file
}

// open opens the file at its end, or begins it.
func (o *file) open() error {
	f, err := os.OpenFile(o.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() && o.keep > 0 {
		// A pipe or device is written to and never renamed.
		o.size = 0
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("opening the journal: %w", err)
	}
	o.f, o.written = f, st.Size()
	o.w = bufio.NewWriterSize(f, bufferSize)
	return nil
}

// line writes one line, in a new file if it does not fit into the present one.
func (o *file) line(b []byte) error {
	if o.f == nil {
		if err := o.open(); err != nil {
			return err
		}
	}
	if o.size > 0 && o.written > 0 && o.written+int64(len(b)) > o.size {
		if err := o.rotate(); err != nil {
			return err
		}
	}
	if _, err := o.w.Write(b); err != nil {
		return o.fail(err)
	}
	o.written += int64(len(b))
	return nil
}

// flush makes all lines so far visible to who reads the file.
func (o *file) flush() error {
	if o.f == nil {
		return nil
	}
	if err := o.w.Flush(); err != nil {
		return o.fail(err)
	}
	return nil
}

// fail gives the file up after an error; the next line opens it again.
func (o *file) fail(err error) error {
	o.f.Close()
	o.f, o.w = nil, nil
	return fmt.Errorf("writing the journal: %w", err)
}

// rotate renames the present file and the old ones, of which the oldest goes,
// and begins a new one.
func (o *file) rotate() error {
	if err := o.close(); err != nil {
		return err
	}
	for i := o.keep; i > 0; i-- {
		from := o.name
		if i > 1 {
			from = old(o.name, i-1)
		}
		if err := os.Rename(from, old(o.name, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("renaming the journal: %w", err)
		}
	}
	if o.keep == 0 {
		if err := os.Remove(o.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("beginning the journal anew: %w", err)
		}
	}
	return o.open()
}

// close writes what is left and closes the file.
func (o *file) close() error {
	if o.f == nil {
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	err := o.f.Close()
	o.f, o.w = nil, nil
	if err != nil {
		return fmt.Errorf("closing the journal: %w", err)
	}
	return nil
}

// old is the name of the i-th old file.
func old(name string, i int) string { return fmt.Sprintf("%s.%d", name, i) }
