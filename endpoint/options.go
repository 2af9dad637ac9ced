package endpoint

import "encoding/binary"

// Range is a run of sequence numbers, Start included, End not.
type Range struct{ Start, End Seq }

// Len is the number of octets in the range.
func (r Range) Len() int { return r.Start.To(r.End) }

// OptionSet says which options a segment carries.
type OptionSet uint8

// Members of an OptionSet.
const (
	HasMSS OptionSet = 1 << iota
	HasWindowScale
	HasSACKPermitted
	HasTimestamps
	// HasAuth marks TCP-MD5 (RFC 2385) or TCP-AO (RFC 5925): such a
	// connection cannot be ended in the middle.
	HasAuth
	// HasMalformed marks an option list that stops with an illegal length;
	// the options before it count (MUST-7).
	HasMalformed
)

// Options are the TCP options that an endpoint understands, decoded. Unknown
// options are passed over by their length (MUST-6).
type Options struct {
	Has         OptionSet
	WindowScale uint8 // shift count; not yet bounded to 14 (RFC 7323, 2.3)
	MSS         uint16
	TSVal       uint32
	TSEcr       uint32
	SACKBlocks  uint8 // how many of SACK are in use
	SACK        [4]Range
	// Layout is the order in which AppendHeader writes the options of a SYN.
	Layout OptionLayout
}

// Option kinds (IANA, RFC 9293 3.2).
const (
	kindEOL           = 0
	kindNOP           = 1
	kindMSS           = 2
	kindWindowScale   = 3
	kindSACKPermitted = 4
	kindSACK          = 5
	kindTimestamps    = 8
	kindMD5           = 19
	kindAO            = 29
)

func parseOptions(b []byte, o *Options) {
	for len(b) > 0 {
		kind := b[0]
		if kind == kindEOL {
			return
		}
		if kind == kindNOP {
			b = b[1:]
			continue
		}
		// MUST-68: every other option carries its length. MUST-7: a length
		// that cannot be ends the list, for nothing behind it can be found.
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			o.Has |= HasMalformed
			return
		}
		v := b[2:b[1]]
		b = b[b[1]:]
		// A known kind with the wrong length is passed over like an unknown
		// one (MUST-6).
		switch kind {
		case kindMSS:
			if len(v) == 2 {
				o.Has |= HasMSS
				o.MSS = binary.BigEndian.Uint16(v)
			}
		case kindWindowScale:
			if len(v) == 1 {
				o.Has |= HasWindowScale
				o.WindowScale = v[0]
			}
		case kindSACKPermitted:
			if len(v) == 0 {
				o.Has |= HasSACKPermitted
			}
		case kindTimestamps:
			if len(v) == 8 {
				o.Has |= HasTimestamps
				o.TSVal = binary.BigEndian.Uint32(v)
				o.TSEcr = binary.BigEndian.Uint32(v[4:])
			}
		case kindSACK:
			if len(v)%8 != 0 || len(v) > 32 || len(v) == 0 {
				continue
			}
			// Of two such options the last one counts, whole.
			o.SACKBlocks, o.SACK = 0, [4]Range{}
			for ; len(v) > 0; v = v[8:] {
				o.SACK[o.SACKBlocks] = Range{Seq(binary.BigEndian.Uint32(v)), Seq(binary.BigEndian.Uint32(v[4:]))}
				o.SACKBlocks++
			}
		case kindMD5, kindAO:
			o.Has |= HasAuth
		}
	}
}

func appendOptions(b []byte, o *Options) []byte {
	if o.Layout != 0 {
		return o.Layout.append(b, o)
	}
	if o.Has&HasMSS != 0 {
		b = append(b, kindMSS, 4, byte(o.MSS>>8), byte(o.MSS))
	}
	switch {
	case o.Has&(HasSACKPermitted|HasTimestamps) == HasSACKPermitted|HasTimestamps:
		b = append(b, kindSACKPermitted, 2)
	case o.Has&HasSACKPermitted != 0:
		b = append(b, kindNOP, kindNOP, kindSACKPermitted, 2)
	case o.Has&HasTimestamps != 0:
		b = append(b, kindNOP, kindNOP)
	}
	if o.Has&HasTimestamps != 0 {
		b = append(b, kindTimestamps, 10)
		b = binary.BigEndian.AppendUint32(b, o.TSVal)
		b = binary.BigEndian.AppendUint32(b, o.TSEcr)
	}
	if o.Has&HasWindowScale != 0 {
		b = append(b, kindNOP, kindWindowScale, 3, o.WindowScale)
	}
	if o.SACKBlocks > 0 {
		b = append(b, kindNOP, kindNOP, kindSACK, 2+8*o.SACKBlocks)
		for _, r := range o.SACK[:o.SACKBlocks] {
			b = binary.BigEndian.AppendUint32(b, uint32(r.Start))
			b = binary.BigEndian.AppendUint32(b, uint32(r.End))
		}
	}
	return b
}
