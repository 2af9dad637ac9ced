package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestVisible wants what an operator sees to be what the wire carried: the
// live list, the ladder with both pairs of initial sequence numbers, and the
// line at the end.
func TestVisible(t *testing.T) {
	if Plain {
		t.Log("plain forwarding shows nothing")
		return
	}
	const config = clientSide + `
[[rule]]
name   = "late goodbye"
match  = { ports = [7000] }
faults = [{ leg = "client", on = "fin", do = "delay", by = "300ms" }]
`
	l := New(t, Options{})
	p := l.StartProxy(config, "-v")
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) { _, _ = io.CopyN(c, c, 5) })
		atClient := l.Client.Capture(clientDevice, "tcp port 7000")
		atServer := l.Server.Capture(serverDevice, "tcp port 7000")
		c := dial(t, l, f.At(7000))
		from := c.LocalAddr().(*net.TCPAddr).AddrPort()
		live := p.SS()
		for _, want := range []string{"ESTAB", from.String(), f.At(7000).String()} {
			if !strings.Contains(live, want) {
				t.Errorf("tcpmitm ss does not say %q of a live connection:\n%s", want, live)
			}
		}
		exchange(t, "a few octets", c, "hello")
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
		client, server := handshakes(atClient.Frames())[from], handshakes(atServer.Frames())[from]
		if client.syn == nil || client.synAck == nil || server.syn == nil || server.synAck == nil {
			t.Fatal("the handshakes were not captured")
		}
		eventually(t, "the end is in the log", soon, func() (bool, string) {
			log := p.Log()
			return strings.Contains(log, "client="+from.String()) || strings.Contains(log, `client="`+from.String()), log
		})
		log := p.Log()
		for _, isn := range []uint32{client.syn.Seq, client.synAck.Seq, server.syn.Seq, server.synAck.Seq} {
			if !strings.Contains(log, fmt.Sprintf("ISN %d", isn)) {
				t.Errorf("the ladder does not show ISN %d, which the wire had", isn)
			}
		}
		line := ""
		for s := range strings.Lines(log) {
			if strings.Contains(s, "bytes_to_server") && strings.Contains(s, from.String()) {
				line = s
			}
		}
		for _, want := range []string{from.String(), f.At(7000).String(), `rule="late goodbye"`, "bytes_to_server=5",
			"bytes_to_client=5", "closed_by=server", "how=FIN"} {
			if !strings.Contains(line, want) {
				t.Errorf("the line at the end does not say %s: %s", want, line)
			}
		}
	})
	p.Stop(syscall.SIGTERM)
}

// TestJSONLog wants each line of the log to be JSON when that is asked for.
func TestJSONLog(t *testing.T) {
	if Plain {
		t.Log("plain forwarding logs nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide + "[log]\nformat = \"json\"\n")
	serve(t, l.Server, IPv4.At(7000), echo)
	c := dial(t, l, IPv4.At(7000))
	exchange(t, "a few octets", c, "hello")
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	time.Sleep(300 * time.Millisecond)
	p.Stop(syscall.SIGTERM)
	found := false
	for line := range strings.Lines(p.Log()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("no JSON: %s", line)
			continue
		}
		if fields["bytes_to_server"] == float64(5) && fields["closed_by"] == "client" {
			found = true
		}
	}
	if !found {
		t.Errorf("no line says how the connection ended:\n%s", p.Log())
	}
}
