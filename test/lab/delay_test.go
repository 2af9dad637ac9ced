package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Tolerance of a measured delay: a timer never fires early (the capture's
// clock is read a little apart from ours, hence not quite zero), and is late
// by what two busy cores add.
const (
	early = time.Millisecond
	late  = 200 * time.Millisecond
)

const (
	settle   = 300 * time.Millisecond // the handshake's own ACKs are over
	lookBack = time.Second            // how long nobody answers, so that ACKs travel alone
)

// delayCase is one fault, the exchange that provokes it, and the pair of
// frames whose distance shows it.
type delayCase struct {
	name   string
	port   uint16 // selects the rule
	faults string
	by     time.Duration
	// client and server are the two ends of the exchange.
	client, server func(c *net.TCPConn) error
	// cause is the frame from which the time counts, on the wire where it is
	// born; effect is the held frame, on the wire of the peer that gets it.
	cause, effect func(client, server []Frame) []Frame
}

// delayCases are the delays that the project's issue asks for, and their
// mirror images.
func delayCases() []delayCase {
	nothing := func(c *net.TCPConn) error { _, err := io.Copy(io.Discard, c); return err }
	talk := func(c *net.TCPConn) error {
		time.Sleep(settle)
		if _, err := c.Write(make([]byte, 100)); err != nil {
			return err
		}
		time.Sleep(lookBack)
		return c.CloseWrite()
	}
	hangUp := func(c *net.TCPConn) error {
		time.Sleep(settle)
		if err := c.CloseWrite(); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, c)
		return err
	}
	toClient := func(fit func(*Frame) bool) func(client, server []Frame) []Frame {
		return func(client, _ []Frame) []Frame {
			return Select(client, func(f *Frame) bool { return f.fromServer() && fit(f) })
		}
	}
	fromServer := func(fit func(*Frame) bool) func(client, server []Frame) []Frame {
		return func(_, server []Frame) []Frame {
			return Select(server, func(f *Frame) bool { return f.fromServer() && fit(f) })
		}
	}
	fromClient := func(fit func(*Frame) bool) func(client, server []Frame) []Frame {
		return func(client, _ []Frame) []Frame {
			return Select(client, func(f *Frame) bool { return !f.fromServer() && fit(f) })
		}
	}
	toServer := func(fit func(*Frame) bool) func(client, server []Frame) []Frame {
		return func(_, server []Frame) []Frame {
			return Select(server, func(f *Frame) bool { return !f.fromServer() && fit(f) })
		}
	}
	synAck := func(f *Frame) bool { return f.SYN && f.ACK }
	data := func(f *Frame) bool { return f.Len > 0 }
	fin := func(f *Frame) bool { return f.FIN }
	return []delayCase{
		{name: "syn-ack to the client", port: 7101, by: 600 * time.Millisecond,
			faults: `{ leg = "client", on = "syn-ack", do = "delay", by = "600ms" }`,
			client: hangUp, server: hangUp, cause: fromServer(synAck), effect: toClient(synAck)},
		{name: "syn-ack from the server", port: 7102, by: 600 * time.Millisecond,
			faults: `{ leg = "server", on = "syn-ack", do = "delay", by = "600ms" }`,
			client: hangUp, server: hangUp, cause: fromServer(synAck),
			effect: func(_, server []Frame) []Frame { return acksOf(server, synAck, false) }},
		{name: "ack to the client", port: 7103, by: 150 * time.Millisecond,
			faults: `{ leg = "client", on = "ack", do = "delay", by = "150ms" }`,
			client: talk, server: nothing, cause: fromClient(data),
			effect: func(client, _ []Frame) []Frame { return acksOf(client, data, true) }},
		{name: "ack to the server", port: 7104, by: 150 * time.Millisecond,
			faults: `{ leg = "server", on = "ack", do = "delay", by = "150ms" }`,
			client: nothing, server: talk, cause: fromServer(data),
			effect: func(_, server []Frame) []Frame { return acksOf(server, data, false) }},
		{name: "fin to the client", port: 7105, by: 1500 * time.Millisecond,
			faults: `{ leg = "client", on = "fin", do = "delay", by = "1.5s" }`,
			client: nothing, server: hangUp, cause: fromServer(fin), effect: toClient(fin)},
		{name: "fin to the server", port: 7106, by: 1500 * time.Millisecond,
			faults: `{ leg = "server", on = "fin", do = "delay", by = "1.5s" }`,
			client: hangUp, server: nothing, cause: fromClient(fin), effect: toServer(fin)},
		{name: "second fin to the client", port: 7107, by: 1500 * time.Millisecond,
			faults: `{ leg = "client", on = "fin", do = "delay", by = "1.5s" }`,
			client: hangUp, server: nothing, cause: fromServer(fin), effect: toClient(fin)},
		{name: "nothing", port: 7108, by: 0,
			client: hangUp, server: nothing, cause: fromClient(fin), effect: toServer(fin)},
	}
}

func (f *Frame) fromServer() bool {
	return f.Src.Addr() == ServerIP4 || f.Src.Addr() == ServerIP6
}

// acksOf returns the frames that acknowledge the first frame that fits, carry
// nothing, and go to its sender; fromServer is their own direction.
func acksOf(frames []Frame, fit func(*Frame) bool, fromServer bool) []Frame {
	first := slices.IndexFunc(frames, func(f Frame) bool { return f.fromServer() != fromServer && fit(&f) })
	if first < 0 {
		return nil
	}
	end := frames[first].Seq + uint32(frames[first].Len)
	if frames[first].SYN || frames[first].FIN {
		end++
	}
	return Select(frames[first:], func(f *Frame) bool {
		return f.fromServer() == fromServer && f.ACK && f.Ack == end && f.Len == 0 && !f.FIN && !f.SYN
	})
}

// TestDelays provokes each delay at the same time and measures it on the wire
// of the peer that it is done to: the held segment comes by seconds after its
// cause, within the tolerance, and exactly once.
func TestDelays(t *testing.T) {
	l := New(t, Options{NoOffload: true})
	var config strings.Builder
	config.WriteString(clientSide)
	for _, c := range delayCases() {
		if c.faults != "" {
			fmt.Fprintf(&config, "[[rule]]\nname = %q\nmatch = { ports = [%d] }\nfaults = [%s]\n", c.name, c.port, c.faults)
		}
	}
	l.StartProxy(config.String())
	l.EachFamily(func(t *testing.T, f Family) {
		cases := delayCases()
		failures := make([]error, len(cases))
		for _, c := range cases {
			serve(t, l.Server, f.At(c.port), func(conn *net.TCPConn) { _ = c.server(conn) })
		}
		atClient := l.Client.Capture(clientDevice, "tcp portrange 7101-7199")
		atServer := l.Server.Capture(serverDevice, "tcp portrange 7101-7199")
		var all sync.WaitGroup
		for i, c := range cases {
			all.Go(func() { failures[i] = runDelay(l, f, c) })
		}
		all.Wait()
		time.Sleep(lookBack) // a late duplicate would come now
		client, server := atClient.Frames(), atServer.Frames()
		for i, c := range cases {
			l.Sub(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
				if failures[i] != nil {
					t.Errorf("the exchange: %v", failures[i])
				}
				judgeDelay(t, c, ofPort(client, c.port), ofPort(server, c.port))
			})
		}
	})
}

func runDelay(l *Lab, f Family, c delayCase) error {
	conn, err := l.Client.Dial(f.At(c.port), dialWait)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(dialWait)); err != nil {
		return err
	}
	if err := c.client(conn); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func ofPort(frames []Frame, port uint16) []Frame {
	return Select(frames, func(f *Frame) bool { return f.Src.Port() == port || f.Dst.Port() == port })
}

func judgeDelay(t *testing.T, c delayCase, client, server []Frame) {
	t.Helper()
	cause, effect := c.cause(client, server), c.effect(client, server)
	wire := func() string {
		return fmt.Sprintf("client leg\n%sserver leg\n%s", Dump(client), Dump(server))
	}
	if len(cause) != 1 || len(effect) != 1 {
		t.Errorf("%d causes and %d effects, want each exactly once:\n%s", len(cause), len(effect), wire())
		return
	}
	want := c.by
	if Plain {
		want = 0
	}
	took := effect[0].At.Sub(cause[0].At)
	t.Logf("after %v", took)
	if took < want-early || took > want+late {
		t.Errorf("came after %v, want %v (-%v, +%v):\n%s", took, want, early, late, wire())
	}
	if got := Select(append(client, server...), func(f *Frame) bool { return f.RST }); len(got) > 0 {
		t.Errorf("a reset:\n%s", wire())
	}
}
