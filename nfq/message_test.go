package nfq

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// attr builds a netlink attribute, padded.
func attr(kind uint16, v ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, v...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestParseMessage(t *testing.T) {
	header := attr(attrPacketHeader, 0, 0, 1, 2, 8, 0, hookPostrouting)
	ct := attr(attrConntrack|0x8000, attr(ctaTupleOrig|0x8000, join(
		attr(ctaTupleIP|0x8000, join(attr(1, 10, 0, 0, 1), attr(ctaIPv4Dst, 192, 0, 2, 9))...),
		attr(ctaTupleProto|0x8000, join(attr(1, 6), attr(2, 1, 1), attr(ctaDstPort, 0x1f, 0x90))...))...)...)
	var m message
	if !m.parse(join(header, attr(99, 1, 2, 3), ct, attr(attrSKBInfo, 0, 0, 0, 4), attr(attrCapLen, 0, 0, 0, 9), attr(attrPayload, 1, 2, 3, 4, 5))) {
		t.Fatal("not parsed")
	}
	if m.id != 258 || m.hook != hookPostrouting || len(m.payload) != 5 || m.length != 9 || !m.verify || m.original != netip.MustParseAddrPort("192.0.2.9:8080") {
		t.Errorf("message is %+v", m)
	}
	// Not ready is never verified, whatever else is said.
	m.parse(join(header, attr(attrSKBInfo, 0, 0, 0, 5), attr(attrPayload, 1)))
	if m.verify || m.length != 1 || m.original.IsValid() {
		t.Errorf("message is %+v", m)
	}
	for why, b := range map[string][]byte{
		"nothing":            nil,
		"no header":          attr(attrPayload, 1),
		"short header":       attr(attrPacketHeader, 0, 0, 1),
		"attribute too long": {200, 0, 1, 0, 0, 0, 0, 0},
		"attribute of two":   {2, 0, 1, 0, 0, 0, 0, 0},
	} {
		if m.parse(b) {
			t.Errorf("%s: parsed", why)
		}
	}
}

func TestVerdictsAcceptFirstThenDropTheRest(t *testing.T) {
	v := verdicts{queue: 0x1234}
	v.dropUpTo(5)
	v.accept(6)
	v.dropUpTo(7)
	v.accept(8)
	type verdict struct {
		kind         uint16
		queue        uint16
		verdict, id  uint32
		attribute    uint16
		attributeLen uint16
	}
	var got []verdict
	for kind, b := range messages(v.take()) {
		got = append(got, verdict{kind, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]),
			binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint16(b[4:])})
	}
	want := []verdict{
		{msgVerdict, 0x1234, nfAccept, 6, attrVerdict, 12},
		{msgVerdict, 0x1234, nfAccept, 8, attrVerdict, 12},
		{msgVerdictBatch, 0x1234, nfDrop, 7, attrVerdict, 12},
	}
	if len(got) != len(want) {
		t.Fatalf("verdicts are %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("verdict %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if b := v.take(); len(b) != 0 {
		t.Errorf("a burst without packets has %d octets of verdicts", len(b))
	}
	// Ids wrap around.
	v.dropUpTo(0xffffffff)
	v.dropUpTo(1)
	if v.highest != 1 {
		t.Errorf("after the wrap the batch reaches to %d, want 1", v.highest)
	}
	v.take()
	for i := range uint32(maxVerdicts - 1) {
		if v.full() {
			t.Fatalf("full after %d verdicts", i)
		}
		v.accept(i)
	}
	if v.dropUpTo(99); !v.full() || len(v.take()) != maxVerdicts*verdictLen {
		t.Error("a full buffer has no room for the batch")
	}
}
