package nfq

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// Wake ends a Receive without end, and one that comes after it.
func TestWake(t *testing.T) {
	ns := newNamespace(t)
	var p *Port
	inNamespace(t, ns, func() {
		var err error
		if p, err = OpenPort(PortConfig{Queue: 1, Pool: endpoint.NewPool(0)}); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	defer p.Close()
	handle := func(endpoint.Time, *endpoint.Packet) endpoint.Verdict { return endpoint.Accept }
	wantBack := func(why string, atLeast, atMost time.Duration, wait time.Duration) {
		t.Helper()
		start := p.Now()
		// Any signal ends a wait early, and Go's scheduler sends some.
		for range 5 {
			if err := p.Receive(wait, handle); err != nil {
				t.Fatal(err)
			}
			if p.Now().Sub(start) >= atLeast {
				break
			}
		}
		if d := p.Now().Sub(start); d < atLeast || d > atMost {
			t.Errorf("%s: Receive took %v, want %v to %v", why, d, atLeast, atMost)
		}
	}
	p.Wake()
	p.Wake()
	wantBack("after two wakes", 0, 100*time.Millisecond, -1)
	wantBack("the wakes are spent", 20*time.Millisecond, time.Second, 20*time.Millisecond)
	time.AfterFunc(20*time.Millisecond, p.Wake)
	wantBack("during the wait", 10*time.Millisecond, time.Second, -1)
	wantBack("no wait", 0, 10*time.Millisecond, 0)
	wantBack("a short wait", 200*time.Microsecond, 100*time.Millisecond, 200*time.Microsecond)
	if n := testing.AllocsPerRun(50, func() { p.Receive(10*time.Microsecond, handle) }); n != 0 {
		t.Errorf("waiting makes %v allocations, want none", n)
	}
}

func TestQueueNumberTaken(t *testing.T) {
	ns := newNamespace(t)
	inNamespace(t, ns, func() {
		pool := endpoint.NewPool(0)
		p, err := OpenPort(PortConfig{Queue: 77, Pool: pool})
		if err != nil {
			t.Error(err)
			return
		}
		_, err = OpenPort(PortConfig{Queue: 77, Pool: pool})
		if !errors.Is(err, ErrQueueTaken) {
			t.Errorf("second bind: %v, want %v", err, ErrQueueTaken)
		} else {
			for _, want := range []string{"NFQUEUE 77", "netlink port", "/proc/net/netfilter/nfnetlink_queue", "queue_base"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := pool.InUse(); n != 0 {
			t.Errorf("%d octets are still in use after Close", n)
		}
		// Closed is unbound.
		p, err = OpenPort(PortConfig{Queue: 77, Pool: pool})
		if err != nil {
			t.Errorf("bind after Close: %v", err)
			return
		}
		p.Close()
	})
}

func TestMissingPrivilegeIsNamed(t *testing.T) {
	ns := newNamespace(t)
	inNamespace(t, ns, func() {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		// Only of this thread, which ends with the function.
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			t.Error(err)
			return
		}
		_, err := OpenPort(PortConfig{Queue: 1, Pool: endpoint.NewPool(0)})
		if !errors.Is(err, ErrPrivilege) {
			t.Errorf("OpenPort: %v, want %v", err, ErrPrivilege)
		}
		_, err = OpenTUNs(TUNConfig{Shards: 1})
		if !errors.Is(err, ErrPrivilege) {
			t.Errorf("OpenTUNs: %v, want %v", err, ErrPrivilege)
		}
		_, err = newFirewall(t, Intercept{}).Install()
		if !errors.Is(err, ErrPrivilege) || !strings.Contains(err.Error(), "root") {
			t.Errorf("Install: %v, want %v", err, ErrPrivilege)
		}
	})
}

// A transfer of many packets allocates next to nothing: what is allocated
// does not grow with the packets.
func TestPacketsDoNotAllocate(t *testing.T) {
	l := newLab(t)
	s := listen(t, l.server, ":80")
	relays := startRelays(t, l.gateway, Intercept{Ports: port80}, 80, nil)
	c, err := dial(t, l.client, "10.91.2.2:80")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	pingPong := func(n int) {
		b := make([]byte, 1000)
		for range n {
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < len(b); {
				n, err := peer.Read(b[got:])
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
			if _, err := peer.Write(b[:1]); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(b[:1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	pingPong(100)
	packets, before := relays[0].taken.Load(), mallocs()
	pingPong(3000)
	packets, after := relays[0].taken.Load()-packets, mallocs()
	if packets < 5000 {
		t.Fatalf("only %d packets came by", packets)
	}
	if n := after - before; n > packets/100 {
		t.Errorf("%d allocations for %d packets", n, packets)
	}
}

// A packet with a bad checksum changes nothing and is counted. It comes from
// a raw socket, so that nobody has looked at its checksum before us.
func TestBadChecksumIsDropped(t *testing.T) {
	l := newLab(t)
	var came atomic.Uint64
	relays := startRelays(t, l.gateway, Intercept{Ports: port80}, 80, func(_ *relay, p *endpoint.Packet) (endpoint.Verdict, bool) {
		came.Add(1)
		return endpoint.Take, true
	})
	send := func(spoil byte) {
		b := syntheticPacket(t, "10.91.1.2", "10.91.2.2", 4000, 80, nil)
		b[ipv4HeaderLen+checksumAt] ^= spoil
		inNamespace(t, l.client, func() {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(fd)
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 91, 2, 2}}); err != nil {
				t.Error(err)
			}
		})
	}
	send(1)
	send(0)
	deadline := time.Now().Add(3 * time.Second)
	for came.Load() == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	relays[0].stop()
	c := relays[0].port.Counters()
	if c.Reasons[endpoint.ReasonBadChecksum] != 1 || came.Load() != 1 {
		t.Errorf("%d bad checksums counted and %d packets handed on, want 1 and 1", c.Reasons[endpoint.ReasonBadChecksum], came.Load())
	}
}
