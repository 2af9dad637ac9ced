package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// gatherOctets are gathered before they are written.
const gatherOctets = 256 << 10

// tail is what is known of the two interfaces at the end.
type tail struct {
	stats  [2]Block
	counts [2]Counts
}

func (t *tail) note(b Block) {
	if intf, c := b.counts(); intf < 2 {
		t.stats[intf], t.counts[intf] = b, c
	}
}

// Counts sums up both interfaces.
func (t *tail) Counts() Counts {
	return Counts{t.counts[0].Received + t.counts[1].Received, t.counts[0].Dropped + t.counts[1].Dropped}
}

// File is a capture that is written as it comes. It ends with a whole block,
// even where there is no room for more.
type File struct {
	tail
	Packets uint64

	out     io.Writer
	name    string
	pending []byte
	offset  int64 // of what is written for certain
}

// NewFile writes to out, which errors call by name.
func NewFile(out io.Writer, name string) *File { return &File{out: out, name: name} }

// Put adds a block. Statistics are kept for the end.
func (f *File) Put(b Block) error {
	switch b.kind() {
	case blockStats:
		f.note(b)
		return nil
	case blockPacket:
		f.Packets++
	}
	f.pending = append(f.pending, b...)
	if len(f.pending) >= gatherOctets {
		return f.Flush()
	}
	return nil
}

// Flush writes what was gathered.
func (f *File) Flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	n, err := f.out.Write(f.pending)
	if err != nil {
		f.pending = nil
		if file, ok := f.out.(*os.File); ok && n > 0 {
			// A part of a block would spoil the file for some readers.
			_ = file.Truncate(f.offset)
		}
		return fmt.Errorf("%s cannot be written any further (%w); what it holds is whole, and the gateway is not affected", f.name, bare(err))
	}
	f.offset += int64(n)
	f.pending = f.pending[:0]
	return nil
}

// bare takes from an error what the message around it says already.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// End writes the statistics, and what else is left.
func (f *File) End() error {
	for _, b := range f.stats {
		f.pending = append(f.pending, b...)
	}
	f.stats = [2]Block{}
	return f.Flush()
}

// Ring keeps the last packets of a capture in memory.
type Ring struct {
	tail
	limit  int
	octets int
	head   []byte  // the section and its interfaces
	blocks []Block // packets; those before first are gone
	first  int
	fresh  int // packets since the last Write
}

// NewRing keeps at most so many octets of packets.
func NewRing(limit int) *Ring { return &Ring{limit: limit} }

// Put adds a block, and forgets the oldest packets for which there is no room.
func (r *Ring) Put(b Block) {
	switch b.kind() {
	case blockStats:
		r.note(b)
	case blockPacket:
		r.blocks = append(r.blocks, b)
		r.octets += len(b)
		r.fresh++
		for r.octets > r.limit && r.first < len(r.blocks) {
			r.octets -= len(r.blocks[r.first])
			r.blocks[r.first] = nil
			r.first++
		}
		if r.first > len(r.blocks)/2 {
			r.blocks = append(r.blocks[:0], r.blocks[r.first:]...)
			clear(r.blocks[len(r.blocks):cap(r.blocks)])
			r.first = 0
		}
	default:
		r.head = append(r.head, b...)
	}
}

// Packets is how many packets the ring holds.
func (r *Ring) Packets() int { return len(r.blocks) - r.first }

// Fresh tells whether something has come since the last Write.
func (r *Ring) Fresh() bool { return r.fresh > 0 }

// Write writes what the ring holds as a whole file.
func (r *Ring) Write(out io.Writer, name string) (packets uint64, err error) {
	f := NewFile(out, name)
	f.pending = bytes.Clone(r.head)
	for _, b := range r.blocks[r.first:] {
		if err := f.Put(b); err != nil {
			return 0, err
		}
	}
	for _, b := range r.stats {
		if b != nil {
			_ = f.Put(b)
		}
	}
	r.fresh = 0
	return f.Packets, f.End()
}
