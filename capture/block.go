package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The types of blocks that a Recorder writes (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockStats     = 5
	blockPacket    = 6
)

// maxBlock bounds one block, in octets: a packet and its comments.
const maxBlock = 1 << 20

// minBlock is the shortest one: type, length, length.
const minBlock = 12

// ErrNotBlocks means that a stream is not one of a Recorder's.
var ErrNotBlocks = errors.New("this is no capture of this version of tcpmitm")

// Block is one block of a pcapng file.
type Block []byte

func (b Block) kind() uint32 { return binary.LittleEndian.Uint32(b) }

// IsPacket tells a packet, or a comment that no packet came for.
func (b Block) IsPacket() bool { return b.kind() == blockPacket }

// Counts are those of one interface.
type Counts struct{ Received, Dropped uint64 }

// Codes of the options of an interface's statistics.
const (
	optionReceived = 4
	optionDropped  = 5
)

// counts reads the counts of an interface's statistics.
func (b Block) counts() (intf uint32, c Counts) {
	intf = binary.LittleEndian.Uint32(b[8:])
	for at := 20; at+4 <= len(b)-4; {
		code, n := binary.LittleEndian.Uint16(b[at:]), int(binary.LittleEndian.Uint16(b[at+2:]))
		if at += 4; n == 8 && at+8 <= len(b)-4 {
			switch v := binary.LittleEndian.Uint64(b[at:]); code {
			case optionReceived:
				c.Received = v
			case optionDropped:
				c.Dropped = v
			}
		}
		at += (n + 3) &^ 3
	}
	return intf, c
}

// BlockReader takes a stream apart.
type BlockReader struct{ r *bufio.Reader }

// NewBlockReader reads blocks of a stream of a Recorder's.
func NewBlockReader(r io.Reader) *BlockReader { return &BlockReader{bufio.NewReaderSize(r, 256<<10)} }

// Next returns the next block, in memory of its own. At the end of the stream,
// also if that comes in the middle of a block, it returns io.EOF.
func (r *BlockReader) Next() (Block, error) {
	head, err := r.r.Peek(8)
	if err != nil {
		return nil, ended(err)
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n < minBlock || n > maxBlock || n%4 != 0 {
		return nil, fmt.Errorf("%w: a block of %d octets", ErrNotBlocks, n)
	}
	b := make(Block, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, ended(err)
	}
	if again := binary.LittleEndian.Uint32(b[n-4:]); again != n {
		return nil, fmt.Errorf("%w: a block of %d and of %d octets", ErrNotBlocks, n, again)
	}
	switch b.kind() {
	case blockSection, blockInterface, blockPacket:
	case blockStats:
		if n < 24 {
			return nil, fmt.Errorf("%w: statistics of %d octets", ErrNotBlocks, n)
		}
	default:
		return nil, fmt.Errorf("%w: a block of type %#x", ErrNotBlocks, b.kind())
	}
	return b, nil
}

// Waiting tells whether there is more at hand.
func (r *BlockReader) Waiting() bool { return r.r.Buffered() > 0 }

func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
