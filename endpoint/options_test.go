package endpoint

import (
	"bytes"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want Options
	}{
		{"none", nil, Options{}},
		{"MSS", []byte{2, 4, 5, 0xb4}, Options{Has: HasMSS, MSS: 1460}},
		{"off word borders (MUST-64)", []byte{1, 2, 4, 5, 0xb4, 1, 1, 3, 3, 7, 4, 2}, Options{Has: HasMSS | HasWindowScale | HasSACKPermitted, MSS: 1460, WindowScale: 7}},
		{"after EOL nothing counts", []byte{0, 2, 4, 5, 0xb4}, Options{}},
		{"unknown kinds are passed over (MUST-6)", []byte{253, 4, 9, 9, 99, 2, 2, 4, 5, 0xb4}, Options{Has: HasMSS, MSS: 1460}},
		{"length 0 ends the list (MUST-7)", []byte{2, 4, 5, 0xb4, 8, 0, 3, 3, 7}, Options{Has: HasMSS | HasMalformed, MSS: 1460}},
		{"length 1", []byte{9, 1, 2, 4, 5, 0xb4}, Options{Has: HasMalformed}},
		{"length beyond the header", []byte{2, 40, 5, 0xb4}, Options{Has: HasMalformed}},
		{"no length", []byte{1, 2}, Options{Has: HasMalformed}},
		{"known kind, wrong length", []byte{2, 3, 5, 3, 3, 7}, Options{Has: HasWindowScale, WindowScale: 7}},
		{"timestamps", []byte{8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, Options{Has: HasTimestamps, TSVal: 1, TSEcr: 2}},
		{"SACK", []byte{5, 10, 0, 0, 0, 1, 0, 0, 0, 9}, Options{SACKBlocks: 1, SACK: [4]Range{{1, 9}}}},
		{"SACK of a broken length", []byte{5, 9, 0, 0, 0, 1, 0, 0, 0}, Options{}},
		{"TCP-MD5", append([]byte{19, 18}, make([]byte, 16)...), Options{Has: HasAuth}},
	} {
		var o Options
		parseOptions(c.b, &o)
		if o != c.want {
			t.Errorf("%s: got %+v, wanted %+v", c.name, o, c.want)
		}
	}
}

func TestAppendOptionsFillsWholeWords(t *testing.T) {
	for set := range OptionSet(HasAuth) {
		for blocks := range uint8(4) {
			o := Options{Has: set}
			if set&HasMSS != 0 {
				o.MSS = 1460
			}
			if set&HasWindowScale != 0 {
				o.WindowScale = 7
			}
			if set&HasTimestamps != 0 {
				o.TSVal, o.TSEcr = 1, 2
			}
			if blocks > 0 {
				if set&(HasMSS|HasWindowScale|HasSACKPermitted) != 0 {
					continue // never on a SYN
				}
				o.SACKBlocks = blocks
				o.SACK = [4]Range{{1, 2}, {3, 4}, {5, 6}}
				clear(o.SACK[blocks:])
			}
			b := appendOptions(nil, &o)
			if len(b)%4 != 0 || len(b) > MaxHeaderLen-HeaderLen {
				t.Errorf("%+v takes %d octets", o, len(b))
			}
			var got Options
			parseOptions(b, &got)
			if got != o {
				t.Errorf("sent %+v, read %+v", o, got)
			}
		}
	}
}

// The SYN of a captured handshake: an MSS option and nothing else.
func TestAppendHeaderIsTheCapturedOne(t *testing.T) {
	s := Segment{Seq: 0x007d747e, Flags: SYN, Window: 0x2000, Options: Options{Has: HasMSS, MSS: 1460}}
	got := AppendHeader(nil, 0x040d, 0x008b, &s)
	want := []byte{0x04, 0x0d, 0, 0x8b, 0, 0x7d, 0x74, 0x7e, 0, 0, 0, 0, 0x60, 2, 0x20, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestParseSegmentRefusesWhatIsNone(t *testing.T) {
	good := AppendHeader(nil, 1, 2, &Segment{Flags: ACK})
	short := bytes.Clone(good)
	short[12] = 4 << 4
	long := bytes.Clone(good)
	long[12] = 15 << 4
	for _, c := range []struct {
		b    []byte
		want Reason
	}{{good, ReasonNone}, {good[:19], ReasonShortHeader}, {short, ReasonBadHeaderLength}, {long, ReasonBadHeaderLength}, {nil, ReasonShortHeader}} {
		var s Segment
		if _, _, got := ParseSegment(c.b, &s); got != c.want {
			t.Errorf("%x: %v, wanted %v", c.b, got, c.want)
		}
	}
}
