package nfq

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// What goes over the loopback device has an Ethernet header in front, and what
// the header for the offloads says counts from there.
func TestLoopbackPacketsHaveALinkHeader(t *testing.T) {
	for _, c := range []struct {
		addr string
		kind uint16
	}{{"127.0.0.1", unix.ETH_P_IP}, {"::1", unix.ETH_P_IPV6}} {
		plain, tun := newPipedOutput(t)
		linked, lo := newPipedOutput(t)
		linked.loopback, linked.fds = linked.fds, [2]int{-1, -1}
		a := netip.MustParseAddr(c.addr)
		tu := endpoint.NewTuple(netip.AddrPortFrom(a, 4711), netip.AddrPortFrom(a, 80))
		s := &endpoint.Segment{Flags: endpoint.ACK, MSS: 1000, Payload: bytes.Repeat([]byte{7}, 3000), Pieces: [][]byte{{1}, {2, 3}}}
		e := &endpoint.ICMPError{From: a, Type: icmpUnreachable, Code: 3}
		for _, send := range []struct {
			what string
			do   func(o *output, loopback bool) error
		}{
			{"a segment", func(o *output, on bool) error {
				return o.segment(endpoint.Server, &tu, endpoint.IPHeader{Loopback: on}, s)
			}},
			{"an ICMP error", func(o *output, on bool) error { return o.unreachable(way{endpoint.Server, on}, e, &tu, s) }},
		} {
			if err := send.do(plain, false); err != nil {
				t.Fatal(err)
			}
			if err := send.do(linked, true); err != nil {
				t.Fatal(err)
			}
			want, got := readRaw(t, tun[endpoint.Server]), readRaw(t, lo[endpoint.Server])
			link, rest := got[:len(linkHeader{})], got[len(linkHeader{}):]
			if !bytes.Equal(rest, want[vnetHeaderLen:]) {
				t.Errorf("%s to %s is another packet over the loopback device", send.what, c.addr)
			}
			if k := binary.BigEndian.Uint16(link[vnetHeaderLen+etherTypeAt:]); k != c.kind || strings.Trim(string(link[vnetHeaderLen:vnetHeaderLen+etherTypeAt]), "\x00") != "" {
				t.Errorf("%s to %s: link header % x", send.what, c.addr, link)
			}
			for what, at := range map[string]int{"header length": 2, "start of the checksum": 6} {
				is, was := binary.NativeEndian.Uint16(link[at:]), binary.NativeEndian.Uint16(want[at:])
				if want[0]&vnetNeedsChecksum != 0 && is != was+etherHeaderLen {
					t.Errorf("%s to %s: %s %d, want %d", send.what, c.addr, what, is, was+etherHeaderLen)
				}
			}
		}
	}
}

func readRaw(t *testing.T, fd int) []byte {
	t.Helper()
	b := make([]byte, 1<<17)
	n, err := unix.Read(fd, b)
	if err != nil {
		t.Fatalf("nothing was written: %v", err)
	}
	return b[:n]
}

// What OpenLoopback switches on, Close switches off, and nothing else.
func TestLoopbackSettingsAreGivenBack(t *testing.T) {
	ns := newNamespace(t)
	inNamespace(t, ns, func() {
		state := func() (s string) {
			for _, key := range loopbackSettings {
				b, err := os.ReadFile("/proc/sys/" + loopbackFolder + key)
				if err != nil {
					t.Error(err)
				}
				s += strings.TrimSpace(string(b))
			}
			return s
		}
		for _, before := range []string{"00", "10"} {
			if err := writeSetting(loopbackFolder+loopbackSettings[0], before[:1]); err != nil {
				t.Error(err)
			}
			l, err := OpenLoopback(2, DefaultMark)
			if err != nil {
				t.Error(err)
				return
			}
			if s := state(); s != "11" {
				t.Errorf("settings are %s, want all on", s)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if s := state(); s != before {
				t.Errorf("settings are %s, were %s", s, before)
			}
		}
		if err := SwitchOff([]string{"rp_filter"}); err == nil {
			t.Error("SwitchOff switches what is not ours")
		}
	})
}
