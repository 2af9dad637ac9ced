package soak

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"tcpmitm/test/lab"
)

// Source ports that no other connection of the client has: those of clients
// that fall off the network, and those of SYNs that nobody means.
const (
	ephemeral    = "20000 60999"
	firstFalling = 61000
	fallingPorts = 900
	firstBurst   = 62000
	burstPorts   = 3000
	burstSize    = 300 // SYNs, with a load of 1
)

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// refused calls a port where nobody listens, and wants to be told so.
func (t *traffic) refused(d draws, name string) {
	p, err := t.client.dial(family(d), closedPort)
	switch {
	case err == nil:
		err = takenBack(p)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		err = nil
	}
	t.tally.note(name, judge(plain, err), 0, err)
}

// nobodyThere calls an address that no host has. The gateway says so when the
// neighbour does not answer, or nobody says anything.
func (t *traffic) nobodyThere(d draws, name string) {
	f := family(d)
	c, err := t.lab.Client.Dial(netip.AddrPortFrom(f.NobodyThere(), plain.port(1)), nobodyLimit)
	switch {
	case err == nil:
		// Of whoever was sent a SYN cookie nothing is known until its ACK
		// comes, which the host may lose: then keep-alives stand for it.
		t.client.waits.prepare(c)
		err = takenBack(patient{c, t.client.waits.patience})
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ECONNRESET), judge(silent, err) == gaveUp:
		err = nil
	}
	t.tally.note(name, judge(plain, err), 0, err)
}

// nobodyLimit is how long an address is called that no host has.
const nobodyLimit = 5 * time.Second

// takenBack wants a connection to be reset that should not have come to be. It
// comes to be while the half-open are many, after a SYN cookie: then the client
// is answered before the server is asked.
func takenBack(p patient) error {
	defer p.Close()
	if n, err := p.Read(make([]byte, 1)); n != 0 || !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EHOSTUNREACH) {
		return fmt.Errorf("connected to where nobody is, and %d octets, %w", n, err)
	}
	return nil
}

// fallOff is a client that is there no more, without a word, in the middle of
// something or while nothing goes on. The server must hear of its end.
func (t *traffic) fallOff(d draws, name string) {
	f, w := family(d), &t.client.waits
	id := t.ids.Add(1)
	from := netip.AddrPortFrom(f.Client(), uint16(firstFalling+id%fallingPorts))
	over := t.server.await(id)
	c, err := t.lab.Client.DialFrom(from, f.At(vanishPort), w.patience)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
		t.tally.note(name, skipped, 0, err)
		return
	}
	if err != nil {
		t.tally.note(name, judge(plain, err), 0, err)
		return
	}
	defer c.Close()
	p := patient{c, w.patience}
	o := order{id: id, end: echoes}
	if d.chance(0.5) {
		o = order{id: id, up: 0, down: 8 << 20, end: clientCloses}
	}
	if _, err = p.Write(o.encode()); err == nil && o.end == echoes {
		err = exchange(p, id, 100)
	} else if err == nil {
		err = receive(p, id, true, 64<<10, 0)
	}
	if err == nil {
		err = t.cutOff(f, from.Port(), func() error {
			// Nothing of this end gets out.
			if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
				return err
			}
			select {
			case <-over:
				return nil
			case <-time.After(w.dead + w.userTimeout):
				return fmt.Errorf("the server of %v does not hear of its end: %w", from, os.ErrDeadlineExceeded)
			}
		})
	}
	t.tally.note(name, judge(plain, err), 0, err)
}

// cutOff keeps all packets of one of the client's ports from the network
// while f runs.
func (t *traffic) cutOff(f lab.Family, port uint16, then func() error) error {
	rules := [][]string{
		{"OUTPUT", "-p", "tcp", "--sport", strconv.Itoa(int(port)), "-j", "DROP"},
		{"INPUT", "-p", "tcp", "--dport", strconv.Itoa(int(port)), "-j", "DROP"},
	}
	change := func(how string) (errs error) {
		for _, r := range rules {
			if out, err := t.lab.Client.Try(f.Tool(), append([]string{"-w", how}, r...)...); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s %s: %w: %s", f.Tool(), how, err, out))
			}
		}
		return errs
	}
	err := change("-A")
	if err == nil {
		err = then()
	}
	return errors.Join(err, change("-D"))
}

// burst sends SYNs that nobody means: nothing answers what comes back, see
// deafen.
func (t *traffic) burst(d draws, name string) {
	f, n := family(d), max(1, int(burstSize*min(t.plan.Load, 5)))
	to := f.At(burstPort)
	for range n {
		from := netip.AddrPortFrom(f.Client(), uint16(firstBurst+d.IntN(burstPorts)))
		packet, err := lab.Packet(from, to, &layers.TCP{SYN: true, Seq: d.Uint32(), Window: 65535}, nil)
		if err == nil {
			err = t.lab.Client.Inject(to.Addr(), packet)
		}
		if err != nil && !errors.Is(err, unix.EPERM) { // EPERM: the host has lost it, see lose
			t.tally.note(name, broken, 0, err)
			return
		}
	}
	t.tally.note(name, fine, 0, nil)
}

// deafen keeps answers to bursts from the client's TCP.
func (t *traffic) deafen() {
	for _, f := range []lab.Family{lab.IPv4, lab.IPv6} {
		t.lab.Client.Run(f.Tool(), "-w", "-t", "raw", "-A", "PREROUTING", "-p", "tcp",
			"--dport", fmt.Sprintf("%d:%d", firstBurst, firstBurst+burstPorts-1), "-j", "DROP")
	}
}

// stopped is a client that stops in the middle of reading, as a process that
// is suspended, and goes on.
func (t *traffic) stopped(d draws, name string) {
	f := family(d)
	url := fmt.Sprintf("http://%v/slow/large", f.At(webPort))
	file := t.lab.Path(fmt.Sprintf("stopped-%d", t.ids.Add(1)))
	defer os.Remove(file)
	p := t.lab.Client.Start("curl", "-sS", "--max-time", "120", "-g", "-o", file, url)
	length := d.between(2*time.Second, 10*time.Second)
	if t.plan.short() {
		length = min(length, 3*time.Second)
	}
	err := func() error {
		time.Sleep(d.between(0, 500*time.Millisecond))
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(length)
		if err := p.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		code, err := p.Wait(125 * time.Second)
		if err != nil {
			return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
		}
		if code != 0 {
			return fmt.Errorf("curl %s: exit code %d: %s", url, code, p.Output())
		}
		got, err := fileSum(file)
		if err == nil && got != t.webSums["/slow/large"] {
			err = fmt.Errorf("%w: %s", errWrong, url)
		}
		return err
	}()
	p.Kill()
	t.lab.Client.Forget(p)
	t.tally.note(name, judge(plain, err), largeSize, err)
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
