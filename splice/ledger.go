package splice

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"tcpmitm/endpoint"
)

// A ledger is memory that outlives the process, in which each shard keeps for
// each of its connections who its peers are and which sequence numbers they
// expect: so little that it costs the data path a few stores, and enough for
// somebody else to reset both peers when this process has been killed. See
// orphans.go for what is done with it.
//
// One line a connection:
//
//	octets  0-3    1: the line is in use
//	        4-7    nothing
//	        8-15   client leg: SND.UNA in the upper half, SND.NXT in the lower
//	       16-23   server leg: the same
//	       24-27   client leg: RCV.NXT
//	       28-31   server leg: RCV.NXT
//	       32-67   client leg: what we send goes from this address and port to that
//	       68-103  server leg: the same
//
// Numbers are in the byte order of the host, and 0 for both of a leg's send
// numbers says that it has none. Whoever reads does so when the writer is
// dead, but that may have happened between any two stores: so SND.NXT is
// written before the segment leaves that makes it true, the addresses before
// the line is in use, and what is not in use is never read.
const (
	// LedgerLine is the length of a line, in octets.
	LedgerLine = 104
	// LedgerChunk is how many lines a Ledger asks for at once.
	LedgerChunk = 2048

	lineTuples = 32
	tupleLen   = 36
)

// ledgerLine is a line as it lies in the memory.
type ledgerLine struct {
	used   atomic.Uint32
	_      uint32
	sent   [2]atomic.Uint64 // by leg
	rcvNxt [2]atomic.Uint32
	tuples [2][tupleLen]byte
}

// The memory is shared with other processes: its layout may not change
// unnoticed.
var _ [LedgerLine]byte = [unsafe.Sizeof(ledgerLine{})]byte{}

// Ledger is a shard's part of that memory. Like the shard it belongs to one
// goroutine.
type Ledger struct {
	memory []byte
	// grow makes the next chunk of the memory ready to be written, and tells
	// whether it could.
	grow  func(chunk int) bool
	ready int   // lines that may be written
	free  []int // of those, the ones that were used and are free again
	fresh int   // the first one never used
}

// NewLedger makes a ledger on memory, which is aligned to 8 octets and whose
// length bounds the lines. grow is asked before a chunk is first written to.
// When there is no room, connections are not recorded: after a kill their
// peers find out by themselves.
func NewLedger(memory []byte, grow func(chunk int) bool) *Ledger {
	return &Ledger{memory: memory, grow: grow}
}

// line is the n-th one.
func (l *Ledger) line(n int) *ledgerLine {
	return (*ledgerLine)(unsafe.Pointer(&l.memory[n*LedgerLine : (n+1)*LedgerLine][0]))
}

// open takes a line for a connection, or -1.
func (l *Ledger) open() int {
	if n := len(l.free); n > 0 {
		line := l.free[n-1]
		l.free = l.free[:n-1]
		return line
	}
	if l.fresh == l.ready {
		if (l.ready+LedgerChunk)*LedgerLine > len(l.memory) || !l.grow(l.ready/LedgerChunk) {
			return -1
		}
		l.ready += LedgerChunk
	}
	l.fresh++
	return l.fresh - 1
}

// enter begins the line of a flow whose tuples are known.
func (s *Shard) enter(f *flow) {
	f.line = nil
	if s.opt.Ledger == nil {
		return
	}
	n := s.opt.Ledger.open()
	if n < 0 {
		s.counters.Unrecorded++
		return
	}
	f.lineNumber, f.line = n, s.opt.Ledger.line(n)
	for l := range f.legs {
		f.line.sent[l].Store(0)
		putTuple(&f.line.tuples[l], &f.legs[l].out)
	}
	f.line.used.Store(1)
}

// record writes down where a leg stands.
func (f *flow) record(l endpoint.Leg) {
	if f.line == nil {
		return
	}
	leg := &f.legs[l]
	if leg.ep == nil || leg.done() {
		// Nobody waits for anything there, and a RST could cut the peer's
		// TIME-WAIT short (RFC 1337).
		f.line.sent[l].Store(0)
		return
	}
	n := leg.ep.Numbers()
	f.line.rcvNxt[l].Store(uint32(n.RcvNxt))
	f.line.sent[l].Store(uint64(n.SndUna)<<32 | uint64(n.SndNxt))
}

// strike ends the line of a flow.
func (s *Shard) strike(f *flow) {
	if f.line == nil {
		return
	}
	f.line.used.Store(0)
	f.line = nil
	s.opt.Ledger.free = append(s.opt.Ledger.free, f.lineNumber)
}

func putTuple(b *[tupleLen]byte, t *endpoint.Tuple) {
	copy(b[0:], t.Src[:])
	copy(b[16:], t.Dst[:])
	binary.BigEndian.PutUint16(b[32:], t.SrcPort)
	binary.BigEndian.PutUint16(b[34:], t.DstPort)
}

func getTuple(b []byte) (t endpoint.Tuple) {
	copy(t.Src[:], b[0:])
	copy(t.Dst[:], b[16:])
	t.SrcPort = binary.BigEndian.Uint16(b[32:])
	t.DstPort = binary.BigEndian.Uint16(b[34:])
	return t
}

// ReadLedger returns the connections that a dead process has left in the
// memory of one ledger.
func ReadLedger(memory []byte) (list []Orphan) {
	for ; len(memory) >= LedgerLine; memory = memory[LedgerLine:] {
		if binary.NativeEndian.Uint32(memory) != 1 {
			continue
		}
		var o Orphan
		for l := range o.Legs {
			sent := binary.NativeEndian.Uint64(memory[8+8*l:])
			o.Legs[l] = OrphanLeg{
				Out: getTuple(memory[lineTuples+l*tupleLen:]),
				Numbers: endpoint.Numbers{
					SndUna: endpoint.Seq(sent >> 32), SndNxt: endpoint.Seq(sent),
					RcvNxt: endpoint.Seq(binary.NativeEndian.Uint32(memory[24+4*l:])),
				},
				Open: sent != 0,
			}
		}
		list = append(list, o)
	}
	return list
}
