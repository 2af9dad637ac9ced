package splice

import (
	"testing"
	"unsafe"
)

// ledgerMemory is memory for a ledger of some chunks, aligned as it must be.
func ledgerMemory(chunks int) []byte {
	n := chunks * LedgerChunk * LedgerLine
	words := make([]uint64, n/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}

func always(int) bool { return true }

// Connections that are over leave nothing in the ledger, and their lines are
// used again.
func TestTheLedgerKeepsOnlyWhatIsOpen(t *testing.T) {
	memory := ledgerMemory(1)
	l := NewLedger(memory, always)
	p := newPlaybook(t, Options{Ledger: l})
	for i := range 3 {
		p.play(bothConnected)
		if n := len(ReadLedger(memory)); n != 1 {
			t.Fatalf("%d connections in the ledger, want 1", n)
		}
		p.play(`
			client > R 1:1(0)
			server < R. 1:1(0) ack 1
			+20
		`)
		if n := len(ReadLedger(memory)); n != 0 {
			t.Fatalf("round %d: %d connections in the ledger after the end", i, n)
		}
		p.legs[0].isn += 1 << 20
		p.legs[1].isn += 1 << 20
	}
	if l.fresh != 1 {
		t.Errorf("%d lines were used for one connection at a time", l.fresh)
	}
}

// A ledger that is full, or cannot grow, records no more, and says so.
func TestALedgerIsBounded(t *testing.T) {
	chunks := []int{}
	l := NewLedger(ledgerMemory(3), func(chunk int) bool { chunks = append(chunks, chunk); return chunk < 2 })
	for i := range 2 * LedgerChunk {
		if n := l.open(); n != i {
			t.Fatalf("line %d, want %d", n, i)
		}
	}
	if l.open() != -1 {
		t.Error("a ledger that cannot grow has room")
	}
	if len(chunks) != 3 || chunks[1] != 1 {
		t.Errorf("asked to grow by %v", chunks)
	}
	if NewLedger(nil, always).open() != -1 {
		t.Error("a ledger of nothing has room")
	}
	p := newPlaybook(t, Options{Ledger: NewLedger(nil, always)})
	p.play(bothConnected)
	if n := p.shard.Counters().Unrecorded; n != 1 {
		t.Errorf("%d connections counted as not recorded, want 1", n)
	}
}
