package endpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// isnTick is the clock of initial sequence numbers (MUST-8; RFC 6528, 3).
const isnTick = 4 * time.Microsecond

// ISNGenerator chooses initial sequence numbers as RFC 6528 asks:
// ISN = M + F(local address, local port, remote address, remote port, secret).
type ISNGenerator struct{ secret [32]byte }

// NewISNGenerator makes a generator; the secret must be random and stay
// unknown outside (MUST-9).
func NewISNGenerator(secret [32]byte) *ISNGenerator { return &ISNGenerator{secret} }

// ISS is the initial send sequence number of a connection on which we send
// with tuple t (SHLD-1).
func (g *ISNGenerator) ISS(now Time, t *Tuple) Seq {
	m := uint32(int64(now) / int64(isnTick))
	return Seq(m + g.hash(t, 'i', 0))
}

// Random is an initial sequence number without a clock in it: all 32 bits look
// random, and differ from moment to moment.
func (g *ISNGenerator) Random(now Time, t *Tuple) Seq {
	return Seq(g.hash(t, 'r', uint64(now)))
}

// TSOffset is the offset of the timestamp clock for a connection on which we
// send with tuple t (RFC 7323, 5.4).
func (g *ISNGenerator) TSOffset(t *Tuple) uint32 { return g.hash(t, 't', 0) }

func (g *ISNGenerator) hash(t *Tuple, purpose byte, salt uint64) uint32 {
	var b [32 + 16 + 16 + 4 + 1 + 8]byte
	copy(b[:32], g.secret[:])
	copy(b[32:], t.Src[:])
	copy(b[48:], t.Dst[:])
	binary.BigEndian.PutUint16(b[64:], t.SrcPort)
	binary.BigEndian.PutUint16(b[66:], t.DstPort)
	b[68] = purpose
	binary.BigEndian.PutUint64(b[69:], salt)
	sum := sha256.Sum256(b[:])
	return binary.BigEndian.Uint32(sum[:])
}
