package endpoint

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// OptionLayout is the order of the options in a SYN or SYN-ACK, in which
// stacks differ and by which they can be told apart: kinds of four bits, the
// first in the lowest. The zero value is the order of Linux. An option that
// the segment does not bear is left out, and so are the NOPs right before it,
// which align it.
type OptionLayout uint64

// maxLayout is how many options, NOP and EOL counted, a layout can hold.
const maxLayout = 16

// layoutEOL stands for EOL, whose kind is 0 and would end the layout.
const layoutEOL = 15

var layoutKinds = map[string]uint8{
	"mss": kindMSS, "nop": kindNOP, "ws": kindWindowScale, "sackok": kindSACKPermitted, "ts": kindTimestamps, "eol": layoutEOL,
}

// ParseOptionLayout reads a layout in the words of tcpdump, for example
// "mss,nop,ws,nop,nop,ts,sackok,eol". Each option stands there at most once.
func ParseOptionLayout(text string) (OptionLayout, error) {
	var l OptionLayout
	seen := map[uint8]bool{}
	words := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
	if len(words) > maxLayout {
		return 0, fmt.Errorf("%d options, of which there may be %d", len(words), maxLayout)
	}
	for i, w := range words {
		k, ok := layoutKinds[strings.ToLower(w)]
		switch {
		case !ok:
			return 0, fmt.Errorf("unknown option %q: there are mss, ws, sackok, ts, nop and eol", w)
		case seen[k] && k != kindNOP:
			return 0, fmt.Errorf("%q stands there twice", w)
		case seen[layoutEOL]:
			return 0, fmt.Errorf("%q follows eol, which is the end", w)
		}
		seen[k] = true
		l |= OptionLayout(k) << (4 * i)
	}
	return l, nil
}

// append writes the options of o in the layout's order.
func (l OptionLayout) append(b []byte, o *Options) []byte {
	nops := 0
	for ; l != 0; l >>= 4 {
		switch kind := uint8(l & 15); kind {
		case kindNOP:
			nops++
			continue
		case layoutEOL:
			return pad(append(b, kindEOL))
		default:
			if !o.bears(kind) {
				nops = 0
				continue
			}
			for ; nops > 0; nops-- {
				b = append(b, kindNOP)
			}
			b = o.appendOne(b, kind)
		}
	}
	for ; nops > 0; nops-- {
		b = append(b, kindNOP)
	}
	return pad(b)
}

// pad fills up to whole words with zero: EOL, and nothing but zero behind it
// (MUST-69).
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, kindEOL)
	}
	return b
}

// bears tells whether o has the option of a kind that a SYN may have.
func (o *Options) bears(kind uint8) bool {
	switch kind {
	case kindMSS:
		return o.Has&HasMSS != 0
	case kindWindowScale:
		return o.Has&HasWindowScale != 0
	case kindSACKPermitted:
		return o.Has&HasSACKPermitted != 0
	case kindTimestamps:
		return o.Has&HasTimestamps != 0
	}
	return false
}

func (o *Options) appendOne(b []byte, kind uint8) []byte {
	switch kind {
	case kindMSS:
		return append(b, kindMSS, 4, byte(o.MSS>>8), byte(o.MSS))
	case kindWindowScale:
		return append(b, kindWindowScale, 3, o.WindowScale)
	case kindSACKPermitted:
		return append(b, kindSACKPermitted, 2)
	case kindTimestamps:
		b = append(b, kindTimestamps, 10)
		b = binary.BigEndian.AppendUint32(b, o.TSVal)
		return binary.BigEndian.AppendUint32(b, o.TSEcr)
	}
	return b
}
