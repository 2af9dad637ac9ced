package endpoint

import (
	"bytes"
	"testing"
)

func TestOptionLayouts(t *testing.T) {
	full := Options{Has: HasMSS | HasWindowScale | HasSACKPermitted | HasTimestamps, MSS: 1460, WindowScale: 7, TSVal: 1, TSEcr: 2}
	mss := []byte{2, 4, 0x05, 0xb4}
	ts := []byte{8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, v := range []struct {
		layout string
		has    OptionSet
		want   []byte
	}{
		{"mss,sackok,ts,nop,ws", full.Has, join(mss, []byte{4, 2}, ts, []byte{1, 3, 3, 7})},
		{"mss,nop,ws,nop,nop,ts,sackok,eol", full.Has, join(mss, []byte{1, 3, 3, 7, 1, 1}, ts, []byte{4, 2, 0, 0})},
		{"mss nop ws nop nop sackok", full.Has &^ HasTimestamps, join(mss, []byte{1, 3, 3, 7, 1, 1, 4, 2})},
		// What is left out takes its NOPs with it, and the rest is padded.
		{"mss,nop,ws,nop,nop,ts,sackok,eol", HasMSS | HasWindowScale, join(mss, []byte{1, 3, 3, 7, 0, 0, 0, 0})},
		{"ws,mss", full.Has, join([]byte{3, 3, 7}, mss, []byte{0})},
		{"mss", full.Has, mss},
	} {
		o := full
		o.Has = v.has
		var err error
		if o.Layout, err = ParseOptionLayout(v.layout); err != nil {
			t.Errorf("%s: %v", v.layout, err)
			continue
		}
		if got := appendOptions(nil, &o); !bytes.Equal(got, v.want) {
			t.Errorf("%s: % x, want % x", v.layout, got, v.want)
		}
	}
}

func TestWrongOptionLayouts(t *testing.T) {
	for text, want := range map[string]string{
		"mss,mss":    `"mss" stands there twice`,
		"mss,window": `unknown option "window": there are mss, ws, sackok, ts, nop and eol`,
		"eol,mss":    `"mss" follows eol, which is the end`,
		"nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop nop": "17 options, of which there may be 16",
	} {
		if _, err := ParseOptionLayout(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The longest header that a layout can make still fits in 60 octets.
func TestOptionLayoutFits(t *testing.T) {
	o := Options{Has: HasMSS | HasWindowScale | HasSACKPermitted | HasTimestamps}
	var err error
	if o.Layout, err = ParseOptionLayout("nop nop nop nop nop nop nop nop nop nop nop mss ws sackok ts eol"); err != nil {
		t.Fatal(err)
	}
	if n := len(appendOptions(nil, &o)); n > MaxHeaderLen-HeaderLen {
		t.Errorf("%d octets of options", n)
	}
}
