package nfq

import (
	"errors"
	"strings"
	"testing"
)

func TestTUNsAreThereUntilClosed(t *testing.T) {
	ns := newNamespace(t)
	var tuns *TUNs
	inNamespace(t, ns, func() {
		var err error
		if tuns, err = OpenTUNs(TUNConfig{Prefix: "t", Shards: 3}); err != nil {
			t.Error(err)
			return
		}
		_, err = OpenTUNs(TUNConfig{Prefix: "t", Shards: 1})
		if !errors.Is(err, ErrDeviceExists) || !strings.Contains(err.Error(), "t-c") || !strings.Contains(err.Error(), "tun_prefix") {
			t.Errorf("the same devices again: %v, want %v", err, ErrDeviceExists)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	links := run(t, ns, "ip -o link; ip -6 addr show dev t-c")
	for _, want := range []string{"t-c: <", "t-s: <", "mtu 65535"} {
		if !strings.Contains(links, want) {
			t.Errorf("no %q in\n%s", want, links)
		}
	}
	if strings.Contains(links, "fe80") {
		t.Errorf("a device has made itself an address:\n%s", links)
	}
	settings := run(t, ns, "cd /proc/sys/net/ipv4/conf/t-s; cat rp_filter accept_local forwarding")
	if strings.Fields(settings)[0] != "2" || strings.Fields(settings)[1] != "1" || strings.Fields(settings)[2] != "1" {
		t.Errorf("rp_filter, accept_local, forwarding are %q, want 2, 1, 1", settings)
	}
	if err := tuns.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if links := run(t, ns, "ip -o link; ip route show table all"); strings.Contains(links, "t-c") || strings.Contains(links, "t-s") {
		t.Errorf("after Close there is still\n%s", links)
	}
}

func TestTUNNamesThatCannotBe(t *testing.T) {
	for _, prefix := range []string{"averylongprefix", "a/b", "a+", "-a", "a b"} {
		if _, err := OpenTUNs(TUNConfig{Prefix: prefix, Shards: 1}); err == nil {
			t.Errorf("prefix %q is accepted", prefix)
		}
	}
	if _, err := OpenTUNs(TUNConfig{Shards: 0}); err == nil {
		t.Error("no shards are accepted")
	}
}
