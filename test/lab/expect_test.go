package lab

import (
	"encoding/xml"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

const expectRules = clientSide + `
[[rule]]
name   = "late goodbye"
match  = { ports = [7001] }
faults = [{ leg = "client", on = "fin", do = "delay", by = "400ms" }]

[[rule]]
name   = "loss"
match  = { ports = [7002] }
faults = [{ leg = "client", on = "data", do = "drop", nth = 1 }]

[[rule]]
name   = "unused"
match  = { ports = [7009] }
faults = [{ leg = "client", on = "fin", do = "drop" }]
`

// expectConnections makes one connection of each kind that the conditions tell
// apart, and returns when all are over.
func expectConnections(t *testing.T, l *Lab, p *Proxy) {
	t.Helper()
	serve(t, l.Server, IPv4.At(7000), echo)
	for _, port := range []uint16{7001, 7002} {
		serve(t, l.Server, IPv4.At(port), func(c *net.TCPConn) { _, _ = io.CopyN(c, c, 5) })
	}
	serve(t, l.Server, IPv4.At(7005), func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		_, _ = c.Write([]byte("after your FIN"))
	})
	// 7000: the client closes first.
	c := dial(t, l, IPv4.At(7000))
	exchange(t, "a few octets", c, "hello")
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
	// 7001, 7002: the server does.
	for _, port := range []uint16{7001, 7002} {
		c = dial(t, l, IPv4.At(port))
		exchange(t, "a few octets", c, "hello")
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	// 7003: nobody listens.
	if c, err := l.Client.Dial(IPv4.At(7003), dialWait); err == nil {
		_ = c.Close()
		t.Error("a connection to a closed port")
	}
	// 7000 again: the client resets; its port tells it from the first.
	c, err := l.Client.DialFrom(netipAt(ClientIP4, 5999), IPv4.At(7000), dialWait)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, "a few octets", c, "hello")
	_ = c.SetLinger(0)
	_ = c.Close()
	// 7005: the server sends after the client's FIN.
	c = dial(t, l, IPv4.At(7005))
	_, _ = c.Write([]byte("hello"))
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
	wantNoConnections(t, p, soon)
}

// TestExpect wants every condition of `tcpmitm expect` to be met by the
// connection that it describes, and by no other.
func TestExpect(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding sees nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(expectRules)
	run := func(args ...string) (int, string) {
		t.Helper()
		out, err := p.Command(append([]string{"expect", "--socket", p.Socket}, args...)...)
		return exitCode(err), out
	}
	// Asked before there is anything, it waits, and sees what comes.
	waiting := l.Gateway.Start(Program, "expect", "--socket", p.Socket, "--rule", "late goodbye", "--fired", "1", "--closed-by", "server", "--within", "20s")
	if err := waiting.WaitOutput("watching", soon); err != nil {
		t.Fatal(err)
	}
	expectConnections(t, l, p)
	if code, err := waiting.Wait(soon); err != nil || code != 0 {
		t.Errorf("what came while it waited: %d, %v\n%s", code, err, waiting.Output())
	}
	for _, v := range []struct {
		args string // separated by "|"
		code int
		says string
	}{
		{"--rule|late goodbye|--fired|1", 0, "fired 1 times"},
		{"--rule|late goodbye|--fired|=1", 0, "exactly 1"},
		{"--rule|late goodbye|--fired|2", 1, "NOT met: rule late goodbye fired at least 2 times; seen: fired 1 times"},
		{"--rule|late goodbye|--fired|0", 1, "fired 1 times"},
		{"--rule|unused|--fired|0", 0, "never"},
		{"--fired|2-2", 0, "fired 2 times"},
		{"--fired|1|port|7002", 0, "fired 1 times"},
		{"--fired|1|port|7000", 1, "fired 0 times"},
		{"--closed-by|client|port|7000", 0, "closed by client"},
		{"--closed-by|server|port|7000", 1, "closed by client"},
		{"--closed-by|server|port|7001", 0, ""},
		{"--how|rst|client|port|5999", 0, "ended by RST"},
		{"--how|refused|port|7003", 0, "ended by refused"},
		{"--how|FIN|port|7003", 1, "ended by refused"},
		{"--peer-reset|client|port|7000", 0, "reset by client"},
		{"--peer-reset|server|port|7000", 1, "codes CD CD"},
		{"--peer-reset|server|port|7003", 0, ""},
		{"--codes|-- --|port|7005", 0, ""},
		{"--codes|C? C?|client|port|5999", 0, ""},
		{"--codes|S? S?|client|port|5999", 1, "codes CD CD"},
		{"--no-data-after-fin|port|7001", 0, ""},
		{"--no-data-after-fin|port|7005", 1, "segments with data after FIN"},
		{"--handshake-within|5s|port|7001", 0, "handshake after"},
		{"--handshake-within|1us|port|7001", 1, "handshake after"},
		{"--first-byte-within|5s|port|7001", 0, ""},
		{"--first-byte-within|1us|port|7001", 1, "first byte after"},
		{"--lasts-at-least|350ms|--rule|late goodbye", 0, ""},
		{"--lasts-at-least|20s|--rule|late goodbye", 1, "lasted 0."},
		{"--lasts-at-most|20s|--rule|late goodbye", 0, ""},
		{"--lasts-at-most|300ms|--rule|late goodbye", 1, ""},
		{"--retransmissions-at-least|1|--rule|loss", 0, ""},
		{"--retransmissions-at-least|50|--rule|loss", 1, "retransmissions"},
		{"--retransmissions-at-most|50|--rule|loss", 0, ""},
		{"--retransmissions-at-most|0|--rule|loss", 1, ""},
		{"--bytes-to-client|5|port|7001", 0, "5 octets"},
		{"--bytes-to-client|1KiB|port|7001", 1, "5 octets"},
		{"--bytes-to-server|5|port|7001", 0, ""},
		{"--bytes-to-server|6|port|7001", 1, "5 octets"},
		{"--connections|6", 0, "6 of 6"},
		{"--connections|7", 1, "6 of 6"},
		{"--all|--codes|-- --|port|7000", 1, "the first of them connection"},
		{"--all|--closed-by|client|port|7000", 0, ""},
		// All of it on one connection, not each on one of its own.
		{"--closed-by|client|--how|refused", 1, "all of it on 1 connections; seen: 0 of 6"},
		{"--rule|no such", 2, `there are "late goodbye", "loss", "unused"`},
		{"--closed-by|nobody", 2, "must be one of client, server, tcpmitm"},
		{"", 2, "nothing is expected"},
	} {
		args := []string{"--since-start", "--within", "0s"}
		if v.args != "" {
			args = append(args, strings.Split(v.args, "|")...)
		}
		if code, out := run(args...); code != v.code || !strings.Contains(out, v.says) {
			t.Errorf("expect %s ends with %d, want %d and %q:\n%s", v.args, code, v.code, v.says, out)
		}
	}
	expectAsItHappens(t, l, p, run)
}

// expectAsItHappens looks at what is not asked afterwards.
func expectAsItHappens(t *testing.T, l *Lab, p *Proxy, run func(args ...string) (int, string)) {
	t.Helper()
	// What was before does not count.
	if code, out := run("--within", "200ms", "--connections", "1", "port", "7000"); code != 1 {
		t.Errorf("without --since-start old connections count: %d\n%s", code, out)
	}
	if code, out := run("--within", "200ms", "--rule", "late goodbye", "--fired", "0"); code != 0 {
		t.Errorf("without --since-start old faults count: %d\n%s", code, out)
	}
	// An open connection shows what it can show already.
	c := dial(t, l, IPv4.At(7000))
	exchange(t, "a few octets", c, "hello")
	if code, out := run("--within", "5s", "--bytes-to-client", "5", "--handshake-within", "5s", "port", "7000"); code != 0 || !strings.Contains(out, "1 that are open") {
		t.Errorf("an open connection: %d\n%s", code, out)
	}
	if code, out := run("--within", "200ms", "--closed-by", "client", "port", "7000"); code != 1 || !strings.Contains(out, "seen: open") {
		t.Errorf("an open connection is not closed by anybody: %d\n%s", code, out)
	}
	_ = c.Close()
	// The command runs between, and JUnit's file says what the text says.
	file := l.Path("junit.xml")
	code, out := run("--within", "300ms", "--junit", file, "--rule", "late goodbye", "--fired", "3", "--", "sh", "-c", "echo the command ran; exit 7")
	if code != 1 || !strings.Contains(out, "the command ran") || !strings.Contains(out, "ended with exit status 7") {
		t.Errorf("with a command: %d\n%s", code, out)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suite    struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(read(t, file)), &suites); err != nil {
		t.Fatal(err)
	}
	if s := suites.Suite.Cases; suites.Tests != 1 || suites.Failures != 1 || len(s) != 1 || s[0].Failure == nil ||
		s[0].Name != "rule late goodbye fired at least 3 times" || s[0].Failure.Message != "seen: fired 0 times" {
		t.Errorf("the XML says %+v", suites)
	}
	// A gateway that goes away is no verdict.
	q := l.Gateway.Start(Program, "expect", "--socket", p.Socket, "--fired", "100", "--within", "20s")
	if err := q.WaitOutput("watching", soon); err != nil {
		t.Fatal(err)
	}
	p.Stop(syscall.SIGTERM)
	if code, err := q.Wait(soon); err != nil || code != 2 {
		t.Errorf("when tcpmitm ends: %d, %v\n%s", code, err, q.Output())
	}
	began := time.Now()
	if code, out := run("--fired", "1"); code != 2 || !strings.Contains(out, "nobody answers") || time.Since(began) > soon {
		t.Errorf("without a tcpmitm: %d\n%s", code, out)
	}
}
