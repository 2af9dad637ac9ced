package nfq

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to a running ones' complement sum (RFC 1071). The sum is kept
// in 64 bits and in the byte order of the network as a little-endian machine
// reads it, which RFC 1071 (2.B) allows: fold puts the octets right. Only the
// last part of a message may have an odd length.
func sum(acc uint64, b []byte) uint64 {
	var c uint64
	// Two chains of carries, so that the additions of one need not wait for
	// those of the other.
	var acc2, c2 uint64
	for len(b) >= 64 {
		x := b[:64:64]
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(x), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(x[8:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(x[16:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(x[24:]), c)
		acc2, c2 = bits.Add64(acc2, binary.LittleEndian.Uint64(x[32:]), c2)
		acc2, c2 = bits.Add64(acc2, binary.LittleEndian.Uint64(x[40:]), c2)
		acc2, c2 = bits.Add64(acc2, binary.LittleEndian.Uint64(x[48:]), c2)
		acc2, c2 = bits.Add64(acc2, binary.LittleEndian.Uint64(x[56:]), c2)
		b = b[64:]
	}
	acc = endAround(acc, c)
	acc = addWord(acc, endAround(acc2, c2))
	for len(b) >= 8 {
		acc = addWord(acc, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc = addWord(acc, binary.LittleEndian.Uint64(tail[:]))
	}
	return acc
}

// addWord adds with end-around carry.
func addWord(a, b uint64) uint64 {
	s, c := bits.Add64(a, b, 0)
	return endAround(s, c)
}

// endAround adds the carry of a sum to the sum. A sum that overflows by this
// is all ones and leaves another carry.
func endAround(s, carry uint64) uint64 {
	s, carry = bits.Add64(s, carry, 0)
	return s + carry
}

// fold gives the 16-bit sum of acc as a number in host order; its complement
// is the checksum.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return bits.ReverseBytes16(uint16(acc))
}

// checksum is the Internet checksum of b.
func checksum(b []byte) uint16 { return ^fold(sum(0, b)) }

// pseudoSum is the sum of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1):
// both addresses, the protocol and the length of what follows. Added up they
// are the same for both families.
func pseudoSum(src, dst []byte, protocol uint8, length int) uint64 {
	acc := sum(sum(0, src), dst)
	var b [8]byte
	binary.BigEndian.PutUint32(b[:], uint32(length))
	b[7] = protocol
	return addWord(acc, binary.LittleEndian.Uint64(b[:]))
}
