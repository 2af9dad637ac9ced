package soak

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// errWrong means that something else was read than was written.
var errWrong = errors.New("wrong content")

// chunk is how much is written or read at once, in octets.
const chunk = 16 << 10

// content is what goes one way on a connection.
func content(id uint64, down bool) *rand.ChaCha8 {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], id)
	if down {
		seed[8] = 1
	}
	return rand.NewChaCha8(seed)
}

// send writes n octets of what belongs to a connection.
func send(w io.Writer, id uint64, down bool, n int) error {
	from, buffer := content(id, down), make([]byte, min(n, chunk))
	for n > 0 {
		b := buffer[:min(n, chunk)]
		_, _ = from.Read(b)
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("with %d octets to be written: %w", n, err)
		}
		n -= len(b)
	}
	return nil
}

// receive reads n octets, and wants them to be what belongs to a connection.
// pause is how long it rests after each chunk.
func receive(r io.Reader, id uint64, down bool, n int, pause time.Duration) error {
	from := content(id, down)
	got, want := make([]byte, min(n, chunk)), make([]byte, min(n, chunk))
	for read := 0; read < n; {
		k, err := r.Read(got[:min(n-read, chunk)])
		_, _ = from.Read(want[:k])
		if !bytes.Equal(got[:k], want[:k]) {
			return fmt.Errorf("%w in the %d octets from %d on", errWrong, k, read)
		}
		read += k
		if err != nil && read < n {
			return fmt.Errorf("with %d of %d octets read: %w", read, n, err)
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	return nil
}

// ending is how a connection ends.
type ending uint8

const (
	clientCloses ending = iota
	serverCloses
	clientResets   // when all is done
	serverResets   // when all is done
	halfCloses     // the client, before the server says anything
	clientAbandons // resets in the middle
	serverAbandons // resets in the middle
	echoes         // until the client closes
	endings
)

func (e ending) String() string {
	return [...]string{"closed by client", "closed by server", "reset by client", "reset by server", "half-closed",
		"abandoned by client", "abandoned by server", "echo"}[e]
}

// order is what a client says first: what is to happen on the connection.
type order struct {
	id       uint64 // of which the content is made
	up, down int    // octets
	end      ending
}

const orderSize = 24

// maxOrder bounds what an order asks for each way, in octets.
const maxOrder = 64 << 20

// done is said by both when all that was to be read was right.
const done = 'k'

func (o *order) encode() []byte {
	b := make([]byte, 0, orderSize)
	b = binary.BigEndian.AppendUint64(b, o.id)
	b = binary.BigEndian.AppendUint32(b, uint32(o.up))
	b = binary.BigEndian.AppendUint32(b, uint32(o.down))
	b = append(b, byte(o.end))
	return append(b, "soaking"...)
}

func readOrder(r io.Reader) (o order, err error) {
	var b [orderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return o, err
	}
	o = order{
		id: binary.BigEndian.Uint64(b[:]), up: int(binary.BigEndian.Uint32(b[8:])), down: int(binary.BigEndian.Uint32(b[12:])),
		end: ending(b[16]),
	}
	if string(b[17:]) != "soaking" || o.end >= endings || o.up > maxOrder || o.down > maxOrder {
		return o, fmt.Errorf("%w: no order is % x", errWrong, b)
	}
	return o, nil
}
