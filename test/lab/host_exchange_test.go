package lab

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The traffic of one cell of the matrix.
const (
	rawConnections = 4        // of wantSpliced
	webConnections = 2        // of wantWeb
	rawUp          = 300_000  // octets to the server in each
	rawDown        = 400_000  // octets to the client, after it has ended its half
	webSize        = 1 << 20  // octets of each transfer with curl
	seedUp         = byte(21) // of the octets of the one direction
	seedDown       = byte(22)
)

// arrived is what a server knows of a connection.
type arrived struct {
	peer netip.Addr
	sum  [sha256.Size]byte // of all it got until the client's end
	err  error
}

// answerAfterEnd reads until the client has ended its half, and only then
// sends octets of its own: they arrive only where a half-close passes.
func answerAfterEnd(to chan<- arrived) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		a := arrived{peer: c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()}
		h := sha256.New()
		if _, a.err = io.Copy(h, c); a.err == nil {
			_, a.err = io.Copy(c, io.LimitReader(random(seedDown), rawDown))
		}
		h.Sum(a.sum[:0])
		to <- a
	}
}

// sumOf is the hash of the first octets of a stream.
func sumOf(seed byte, size int64) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.Copy(h, io.LimitReader(random(seed), size))
	h.Sum(sum[:0])
	return sum
}

// converse sends all of one direction, ends that half, and reads the other.
func converse(c *net.TCPConn) error {
	if _, err := io.Copy(c, io.LimitReader(random(seedUp), rawUp)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := c.CloseWrite(); err != nil {
		return fmt.Errorf("end one half: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(h, c)
	if err != nil {
		return fmt.Errorf("read after %d octets: %w", n, err)
	}
	if want := sumOf(seedDown, rawDown); n != rawDown || [sha256.Size]byte(h.Sum(nil)) != want {
		return fmt.Errorf("%d octets came that are not the %d sent", n, rawDown)
	}
	return nil
}

// vantage is a place where one side of the gateway can be watched.
type vantage struct {
	host   *Namespace
	device string
}

// of is the same device of another host.
func (v vantage) of(n *Namespace) vantage { return vantage{n, v.device} }

// traffic are connections of the client's to the server.
type traffic struct {
	listen, to     netip.AddrPort // where the server listens, and what the client calls
	seenAs         []netip.Addr   // the server may see one of these as the client's
	connections    int
	client, server []vantage // where the legs can be watched; nil: at the lab's own devices
}

// wantSpliced makes connections from the client, to port 7000 of the server
// by whatever address, and wants them whole and each to be two.
func wantSpliced(t *testing.T, l *Lab, f Family, to netip.AddrPort, seenAs []netip.Addr) {
	t.Helper()
	traffic{listen: f.At(7000), to: to, seenAs: seenAs, connections: rawConnections}.want(t, l)
}

// want makes the connections, wants them whole and spliced, and returns what
// was seen at each vantage.
func (v traffic) want(t *testing.T, l *Lab) (atClient, atServer [][]Frame) {
	t.Helper()
	came := make(chan arrived, v.connections)
	serve(t, l.Server, v.listen, answerAfterEnd(came))
	if v.client == nil {
		v.client = []vantage{{l.Client, clientDevice}}
	}
	if v.server == nil {
		v.server = []vantage{{l.Server, serverDevice}}
	}
	client, server := record(v.client, v.to.Port()), record(v.server, v.listen.Port())
	for i := range v.connections {
		c := dial(t, l, v.to)
		if err := converse(c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		_ = c.Close()
		a := <-came
		switch {
		case a.err != nil:
			t.Errorf("connection %d, at the server: %v", i, a.err)
		case a.sum != sumOf(seedUp, rawUp):
			t.Errorf("connection %d: what came to the server is not what was sent", i)
		case !slices.Contains(v.seenAs, a.peer):
			t.Errorf("connection %d: the server sees %v, want one of %v", i, a.peer, v.seenAs)
		}
	}
	for _, c := range client {
		atClient = append(atClient, c.Frames())
	}
	for _, c := range server {
		atServer = append(atServer, c.Frames())
	}
	wantOwnNumbers(t, slices.Concat(atClient...), slices.Concat(atServer...), v.connections)
	return atClient, atServer
}

func record(at []vantage, port uint16) (all []*Capture) {
	for _, v := range at {
		all = append(all, v.host.Capture(v.device, fmt.Sprintf("tcp port %d", port)))
	}
	return all
}

// wantOwnNumbers wants so many whole handshakes on either side of the
// gateway, of which none has an initial sequence number of the other side's.
// Addresses do not matter: NAT may have changed them. Plain forwarding must
// show the opposite.
func wantOwnNumbers(t *testing.T, atClient, atServer []Frame, connections int) {
	t.Helper()
	client, server := handshakes(atClient), handshakes(atServer)
	if len(client) != connections || len(server) != connections {
		t.Fatalf("%d connections at the client, %d at the server, want %d:\nclient leg\n%sserver leg\n%s",
			len(client), len(server), connections, Dump(atClient), Dump(atServer))
	}
	numbers := map[uint32]bool{}
	for from, h := range client {
		if h.syn == nil || h.synAck == nil || h.synAck.Ack != h.syn.Seq+1 {
			t.Fatalf("client leg: the handshake of %v is not whole:\n%s", from, Dump(atClient))
		}
		numbers[h.syn.Seq], numbers[h.synAck.Seq] = true, true
	}
	for from, h := range server {
		if h.syn == nil || h.synAck == nil || h.synAck.Ack != h.syn.Seq+1 {
			t.Fatalf("server leg: the handshake of %v is not whole:\n%s", from, Dump(atServer))
		}
		if a, b := numbers[h.syn.Seq], numbers[h.synAck.Seq]; a != Plain || b != Plain {
			t.Errorf("%v at the server: ISNs %d and %d are those of the client leg: %v, %v; want %v",
				from, h.syn.Seq, h.synAck.Seq, a, b, Plain)
		}
	}
}

var uploads atomic.Int64

// wantWeb has curl fetch a file of nginx's, and bring it back.
func wantWeb(t *testing.T, l *Lab, www, sum string, web netip.AddrPort) {
	t.Helper()
	url := "http://" + hostPort(web)
	got := l.Client.Run("bash", "-o", "pipefail", "-c", "curl -sS --fail --max-time 30 "+url+"/file.bin | sha256sum")
	if !strings.HasPrefix(got, sum) {
		t.Errorf("download: SHA-256 %s, want %s", got, sum)
	}
	up := fmt.Sprintf("/up/%d.bin", uploads.Add(1))
	l.Client.Run("curl", "-sS", "--fail", "--max-time", "30", "-T", filepath.Join(www, "file.bin"), url+up)
	if got := fileSum(t, www+up); got != sum {
		t.Errorf("upload: SHA-256 %s, want %s", got, sum)
	}
	_ = os.Remove(www + up)
}
