package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tcpmitm/endpoint"
)

// stream is what a Recorder writes of n packets.
func stream(t *testing.T, n int) []Block {
	t.Helper()
	blocks, _ := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) {
		for i := range n {
			e := out(endpoint.Client, "hello")
			e.Segment.Seq = endpoint.Seq(i)
			r.Wire(e)
		}
	})
	// Statistics may come at any time.
	var last Block
	for _, b := range blocks {
		if b.kind() == blockStats {
			last = b
		}
	}
	blocks = slices.DeleteFunc(blocks, func(b Block) bool { return b.kind() == blockStats })
	return append(blocks, last)
}

func join(blocks []Block) []byte {
	var b []byte
	for _, block := range blocks {
		b = append(b, block...)
	}
	return b
}

// limited takes so many octets, and then no more.
type limited struct {
	bytes.Buffer
	room int
}

func (l *limited) Write(b []byte) (int, error) {
	n, _ := l.Buffer.Write(b[:min(l.room, len(b))])
	l.room -= n
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestFileHoldsWhatCame(t *testing.T) {
	blocks := stream(t, 3)
	var b bytes.Buffer
	f := NewFile(&b, "it")
	for _, block := range blocks {
		if err := f.Put(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.End(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), join(blocks)) || f.Packets != 3 || f.Counts() != (Counts{3, 0}) {
		t.Errorf("%d octets of %d, %d packets, %+v", b.Len(), len(join(blocks)), f.Packets, f.Counts())
	}
}

// Statistics come while the capture goes on, and stand once at the end.
func TestStatisticsStandAtTheEnd(t *testing.T) {
	blocks := stream(t, 1)
	stats := blocks[len(blocks)-1]
	if stats.kind() != blockStats {
		t.Fatalf("the last block is of type %d", stats.kind())
	}
	var b bytes.Buffer
	f := NewFile(&b, "it")
	for _, block := range append([]Block{blocks[0], blocks[1], blocks[2], stats, stats}, blocks[3:]...) {
		if err := f.Put(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.End(); err != nil || !bytes.Equal(b.Bytes(), join(blocks)) {
		t.Errorf("%v, %d octets, want %d", err, b.Len(), len(join(blocks)))
	}
}

func TestFullDisk(t *testing.T) {
	l := &limited{room: 100}
	f := NewFile(l, "/full/disk")
	for _, block := range stream(t, 3) {
		_ = f.Put(block)
	}
	err := f.End()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/full/disk") || !strings.Contains(err.Error(), "the gateway is not affected") {
		t.Errorf("got %v", err)
	}
}

func TestBlockReaderOfBadStreams(t *testing.T) {
	whole := join(stream(t, 2))
	change := func(at int, v uint32) []byte {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	first := int(binary.LittleEndian.Uint32(whole[4:]))
	for _, v := range []struct {
		what string
		b    []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"cut in the length", whole[:6], io.EOF},
		{"cut in a block", whole[:first+9], io.EOF},
		{"a block of no length", change(4, 0), ErrNotBlocks},
		{"an odd length", change(4, uint32(first+1)), ErrNotBlocks},
		{"a huge block", change(4, maxBlock+4), ErrNotBlocks},
		{"two lengths", change(first-4, 12), ErrNotBlocks},
		{"an unknown type", change(0, 77), ErrNotBlocks},
		{"a page of text", []byte("HTTP/1.1 400 Bad Request and so on"), ErrNotBlocks},
	} {
		r := NewBlockReader(bytes.NewReader(v.b))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", v.what, err, v.want)
		}
	}
}

func TestRingKeepsTheLast(t *testing.T) {
	blocks := stream(t, 100)
	size := 0
	for _, b := range blocks {
		if b.IsPacket() {
			size = len(b)
		}
	}
	r := NewRing(10*size + 5)
	for _, b := range blocks {
		r.Put(b)
		if r.octets > r.limit || len(r.blocks) > 2*10+3 {
			t.Fatalf("the ring holds %d octets in %d places", r.octets, len(r.blocks))
		}
	}
	var b bytes.Buffer
	n, err := r.Write(&b, "it")
	if err != nil || n != 10 || r.Packets() != 10 || r.Fresh() {
		t.Errorf("%d packets, %v, fresh %v", n, err, r.Fresh())
	}
	var seqs []uint32
	br, kinds := NewBlockReader(&b), ""
	for {
		block, err := br.Next()
		if err != nil {
			break
		}
		kinds += map[uint32]string{blockSection: "S", blockInterface: "I", blockPacket: "p", blockStats: "s"}[block.kind()]
		if block.IsPacket() {
			seqs = append(seqs, binary.BigEndian.Uint32(parse(block).data[24:]))
		}
	}
	if kinds != "SIIpppppppppps" || seqs[0] != 90 || seqs[9] != 99 {
		t.Errorf("the file is %s, of packets %d", kinds, seqs)
	}
	// It goes on, and can be written again.
	r.Put(blocks[3])
	if n, err := r.Write(io.Discard, "it"); n != 10 || err != nil || r.Counts().Received != 100 {
		t.Errorf("%d packets, %v, %+v", n, err, r.Counts())
	}
	// One packet that has no room is not kept.
	r = NewRing(size - 1)
	for _, b := range blocks {
		r.Put(b)
	}
	if n, err := r.Write(io.Discard, "it"); n != 0 || err != nil {
		t.Errorf("%d packets, %v", n, err)
	}
}

func FuzzBlockReader(f *testing.F) {
	f.Add([]byte("\x0a\x0d\x0d\x0a\x0c\x00\x00\x00\x0c\x00\x00\x00"))
	f.Add([]byte("\x05\x00\x00\x00\x1c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x08\x00\x1c\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, file, ring := NewBlockReader(bytes.NewReader(b)), NewFile(io.Discard, "it"), NewRing(100)
		for {
			block, err := r.Next()
			if err != nil {
				break
			}
			if err := file.Put(block); err != nil {
				t.Fatal(err)
			}
			ring.Put(block)
		}
		_ = file.End()
		_, _ = ring.Write(io.Discard, "it")
	})
}

// A packet as it may come from a network, of any octets, spoils nothing.
func FuzzMend(f *testing.F) {
	_, got := recordedOnce()
	f.Add(got, uint16(0))
	f.Add(got[:30], uint16(100))
	f.Fuzz(func(t *testing.T, b []byte, more uint16) {
		for _, family := range []endpoint.Tuple{endpoint.NewTuple(client, server), {}} {
			rec := &record{tuple: family, whole: true, octets: &buffer{b, smallBuffer}, length: len(b) + int(more)}
			if p, n := rec.build(nil); len(p) != len(b) || n != rec.length {
				t.Errorf("%d of %d octets", len(p), n)
			}
		}
	})
}

func recordedOnce() (*record, []byte) {
	r := NewRecorder(nil, 0)
	r.Wire(out(endpoint.Client, "hello"))
	rec := <-r.queue
	b, _ := rec.build(nil)
	return &rec, b
}
