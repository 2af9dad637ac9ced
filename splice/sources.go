package splice

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"tcpmitm/endpoint"
)

// sourceCount counts by source in a table of fixed size, however many sources
// there are: a count-min sketch whose counters also go down. A source has a
// counter in each of sourceRows rows, chosen by a keyed hash, and its count is
// the smallest of them: never too small, and too large only if in each row a
// busy source shares the counter. All shards share one, by atomics.
//
// A source is an IPv4 address or an IPv6 /64: within that a host chooses its
// addresses freely (RFC 4941), and one host is what a limit is for.
type sourceCount struct {
	block cipher.Block
	mask  uint32
	rows  [sourceRows][]atomic.Int32
}

const (
	sourceRows = 4
	// leastSources and mostSources bound the counters in a row, 4 octets each:
	// a table takes from 16 KiB to 16 MiB.
	leastSources = 1 << 10
	mostSources  = 1 << 20
)

// newSourceCount makes a table for about places connections at once.
func newSourceCount(secret [32]byte, places int64) *sourceCount {
	// The key differs from those of other uses of the secret. It must not be
	// known: who could choose sources that share counters with a victim could
	// use up its limit.
	key := sha256.Sum256(append(secret[:], "sources"...))
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic("splice: " + err.Error()) // 16 octets are a key
	}
	if places <= 0 {
		places = mostSources
	}
	n := 1 << bits.Len64(uint64(min(max(places, leastSources), mostSources)-1))
	c := &sourceCount{block: block, mask: uint32(n - 1)}
	for i := range c.rows {
		c.rows[i] = make([]atomic.Int32, n)
	}
	return c
}

// sourceOf is the source that an address belongs to, as 16 octets.
func sourceOf(t *endpoint.Tuple) [16]byte {
	s := t.Src
	if !t.IsIPv4() {
		clear(s[8:])
	}
	return s
}

// countersOf finds the counters of a source.
func (c *sourceCount) countersOf(t *endpoint.Tuple) (out [sourceRows]*atomic.Int32) {
	s := sourceOf(t)
	c.block.Encrypt(s[:], s[:])
	for i := range out {
		out[i] = &c.rows[i][binary.BigEndian.Uint32(s[4*i:])&c.mask]
	}
	return out
}

// add counts one more of a source, or one less, and returns how many there
// are then.
func (c *sourceCount) add(t *endpoint.Tuple, n int32) int64 {
	least := int32(0)
	for i, p := range c.countersOf(t) {
		if v := p.Add(n); i == 0 || v < least {
			least = v
		}
	}
	return int64(least)
}

// of returns how many a source has.
func (c *sourceCount) of(t *endpoint.Tuple) int64 {
	least := int32(0)
	for i, p := range c.countersOf(t) {
		if v := p.Load(); i == 0 || v < least {
			least = v
		}
	}
	return int64(least)
}
