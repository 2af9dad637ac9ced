package nfq

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// plainChecksum is RFC 1071's definition, word by word.
func plainChecksum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
		s = s>>16 + s&0xffff
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func TestChecksumMatchesTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 700 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
			if n%7 == 0 {
				b[i] = 0xff // the case in which every addition carries
			}
		}
		if got, want := checksum(b), plainChecksum(b); got != want {
			t.Fatalf("%d octets: checksum %#04x, want %#04x", n, got, want)
		}
	}
}

func TestChecksumOfRFC1071sExample(t *testing.T) {
	// RFC 1071, section 3: the sum of these octets is ddf2.
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := fold(sum(0, b)); got != 0xddf2 {
		t.Errorf("sum = %#04x, want 0xddf2", got)
	}
}

func TestSumInPartsEqualsSumOfTheWhole(t *testing.T) {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i * 37)
	}
	for cut := 0; cut <= len(b); cut += 2 {
		if got, want := fold(sum(sum(0, b[:cut]), b[cut:])), fold(sum(0, b)); got != want {
			t.Fatalf("cut at %d: %#04x, want %#04x", cut, got, want)
		}
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := checksum(b), plainChecksum(b); got != want {
			t.Fatalf("checksum %#04x, want %#04x", got, want)
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{64, 1460, 65000} {
		buf := make([]byte, n)
		b.Run(map[int]string{64: "64", 1460: "1460", 65000: "65000"}[n], func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				checksum(buf)
			}
		})
	}
}
