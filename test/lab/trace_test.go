package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tracedEvent is what these tests look at of an event.
type tracedEvent struct {
	Type, Leg, Dir, Rule, Note string
	Client, Server             string
	Conn                       uint64
	Time                       time.Time
	NS                         int64
	Lost                       uint64
	ByRule                     bool `json:"by_rule"`
	Segment                    *struct {
		Flags           []string
		Seq, Ack        uint32
		RelativeSeq     uint32 `json:"relative_seq"`
		Len, Window     int
		Again           bool
		Header, Payload string
	}
	State *struct{ Before, After string }
	Fault *struct {
		Text, Do string
	}
	Verdict *struct {
		ClosedBy  string `json:"closed_by"`
		How       string
		ToServer  uint64 `json:"bytes_to_server"`
		ToClient  uint64 `json:"bytes_to_client"`
		ClientLeg struct {
			Code, State string
			FINToACK    *float64 `json:"fin_to_ack_ms"`
			RTT         *float64 `json:"rtt_ms"`
			HalfClosed  *float64 `json:"half_closed_ms"`
		} `json:"client_leg"`
		ServerLeg struct {
			Code, State string
			Retransmits int
		} `json:"server_leg"`
		Fired []struct{ Count int }
	}
}

func tracedEvents(t *testing.T, text string) (list []tracedEvent) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e tracedEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("no JSON object: %v: %s", err, line)
		}
		list = append(list, e)
	}
	return list
}

// startTrace attaches a trace to a running tcpmitm, and waits until it is
// attached.
func (p *Proxy) startTrace(args ...string) *Process {
	p.lab.t.Helper()
	before := p.attached()
	q := p.lab.Gateway.Start(Program, append([]string{"trace", "--socket", p.Socket}, args...)...)
	eventually(p.lab.t, "the trace is attached", soon, func() (bool, string) { return p.attached() > before, q.Output() })
	return q
}

// attached is how many traces are attached.
func (p *Proxy) attached() int {
	p.lab.t.Helper()
	var c struct{ Traces int }
	if err := p.Ask("/v1/counters", &c); err != nil {
		p.lab.t.Fatal(err)
	}
	return c.Traces
}

const lateGoodbye = clientSide + `
[[rule]]
name   = "late goodbye"
match  = { ports = [7000] }
faults = [{ leg = "client", on = "fin", do = "delay", by = "300ms" }]
`

// TestTrace wants a trace that is attached to a running tcpmitm, in each of its
// forms, to tell what the wire carried: both handshakes with their numbers, the
// fault with its rule, the states, and the verdict at the end.
func TestTrace(t *testing.T) {
	if Plain {
		t.Log("plain forwarding shows nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(lateGoodbye)
	at := IPv4.At(7000)
	serve(t, l.Server, at, func(c *net.TCPConn) { _, _ = io.CopyN(c, c, 5) })
	serve(t, l.Server, IPv4.At(7001), echo)
	atClient := l.Client.Capture(clientDevice, "tcp port 7000")
	atServer := l.Server.Capture(serverDevice, "tcp port 7000")
	picture := l.Path("ladder.svg")
	asJSON := p.startTrace("--json", "--hex", "port", "7000")
	asText := p.startTrace("rule", "late goodbye")
	asFaults := p.startTrace("--json", "faults")
	asSVG := p.startTrace("--svg", picture, "port", "7000")

	// Another connection, which the filters leave out.
	other := dial(t, l, IPv4.At(7001))
	exchange(t, "a few octets past the filter", other, "other")
	_ = other.Close()
	c := dial(t, l, at)
	from := c.LocalAddr().(*net.TCPAddr).AddrPort()
	exchange(t, "a few octets", c, "hello")
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()

	if code, err := asSVG.Wait(soon); err != nil || code != 0 {
		t.Fatalf("the trace for the picture ended with %d, %v:\n%s", code, err, asSVG.Output())
	}
	eventually(t, "the end is told", soon, func() (bool, string) {
		return strings.Contains(asJSON.Output(), `"closed"`) && strings.Contains(asText.Output(), "is over"), asJSON.Output() + asText.Output()
	})
	for _, q := range []*Process{asJSON, asText, asFaults} {
		if err := q.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code, err := q.Wait(soon); err != nil || code != 0 {
			t.Errorf("a trace ended with %d, %v:\n%s", code, err, q.Output())
		}
	}
	client, server := handshakes(atClient.Frames())[from], handshakes(atServer.Frames())[from]
	if client.syn == nil || client.synAck == nil || server.syn == nil || server.synAck == nil {
		t.Fatal("the handshakes were not captured")
	}
	isns := []uint32{client.syn.Seq, client.synAck.Seq, server.syn.Seq, server.synAck.Seq}

	wantTracedConnection(t, tracedEvents(t, asJSON.Output()), from.String(), at.String(), isns)
	text := asText.Output()
	drawn, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	for name, seen := range map[string]string{"ladder": text, "picture": string(drawn)} {
		for _, isn := range isns {
			if !strings.Contains(seen, fmt.Sprintf("ISN %d", isn)) {
				t.Errorf("the %s does not show ISN %d, which the wire had:\n%s", name, isn, seen)
			}
		}
		for _, want := range []string{from.String(), "late goodbye", "FIN-WAIT-1", "TIME-WAIT", "CLOSE-WAIT", "closed first by server"} {
			if !strings.Contains(seen, want) {
				t.Errorf("the %s does not show %q:\n%s", name, want, seen)
			}
		}
	}
	if strings.Contains(text, ":7001") {
		t.Errorf("the filter let another connection through:\n%s", text)
	}
	var acted int
	for _, e := range tracedEvents(t, asFaults.Output()) {
		if e.Rule != "late goodbye" {
			t.Errorf("with the filter faults came %+v", e)
		}
		if e.Type == "fault" || e.ByRule {
			acted++
		}
	}
	if acted == 0 {
		t.Errorf("with the filter faults came no fault:\n%s", asFaults.Output())
	}
	eventually(t, "no trace is attached any more", soon, func() (bool, string) { n := p.attached(); return n == 0, fmt.Sprint(n) })
}

// wantTracedConnection judges the events of one connection.
func wantTracedConnection(t *testing.T, events []tracedEvent, client, server string, isns []uint32) {
	t.Helper()
	var handshakes []uint32
	var payload strings.Builder
	states, acted, last := map[string]bool{}, 0, int64(0)
	var end *tracedEvent
	for i := range events {
		e := &events[i]
		if e.Client != client || e.Server != server || e.Lost != 0 {
			t.Fatalf("this is not of the connection: %+v", e)
		}
		switch e.Type {
		case "segment":
			if e.NS < last {
				t.Errorf("the clock goes back at %+v", e)
			}
			last = e.NS
			if e.Segment.Flags[0] == "SYN" {
				handshakes = append(handshakes, e.Segment.Seq)
			}
			states[e.Leg+" "+e.State.After] = true
			if len(e.Segment.Header) < 40 {
				t.Errorf("a header of %d octets: %+v", len(e.Segment.Header)/2, e)
			}
			payload.WriteString(e.Segment.Payload)
			if e.ByRule {
				acted++
			}
		case "fault":
			acted++
		case "closed":
			end = e
		}
	}
	for _, isn := range isns {
		found := false
		for _, h := range handshakes {
			found = found || h == isn
		}
		if !found {
			t.Errorf("no SYN with ISN %d is told, which the wire had; told are %d", isn, handshakes)
		}
	}
	for _, want := range []string{"client LISTEN", "client SYN-RECV", "client ESTAB", "client FIN-WAIT-1", "client TIME-WAIT",
		"server SYN-SENT", "server ESTAB", "server CLOSE-WAIT", "server LAST-ACK"} {
		if !states[want] {
			t.Errorf("the state %s is not told; told are %v", want, states)
		}
	}
	if hello := fmt.Sprintf("%x", "hello"); strings.Count(payload.String(), hello) != 4 {
		t.Errorf("hello is not told on both legs in both directions: %s", payload.String())
	}
	if acted == 0 {
		t.Error("the fault is not told")
	}
	if end == nil {
		t.Fatal("the end is not told")
	}
	v := end.Verdict
	if v.ClosedBy != "server" || v.How != "FIN" || v.ToServer != 5 || v.ToClient != 5 || v.ClientLeg.Code != "--" || v.ServerLeg.Code != "--" ||
		v.ClientLeg.RTT == nil || v.ClientLeg.FINToACK == nil || v.ClientLeg.HalfClosed == nil {
		t.Errorf("the verdict is %+v", v)
	}
}

// TestTraceOfSlowReader wants a reader that stands still to cost nobody but
// itself: all octets pass at speed, and afterwards the reader is told how much
// it has missed.
func TestTraceOfSlowReader(t *testing.T) {
	if Plain {
		t.Log("plain forwarding shows nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	at := IPv4.At(7000)
	serve(t, l.Server, at, echo)
	q := p.startTrace("--json", "--hex", "--snaplen", "65535")
	if err := q.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := dial(t, l, at)
	began := time.Now()
	size := int64(64 << 20)
	if testing.Short() {
		size = 16 << 20
	}
	go func() {
		_, _ = io.CopyN(c, zeros{}, size)
		_ = c.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, c)
	took := time.Since(began)
	if err != nil || n != size {
		t.Fatalf("%d of %d octets came back: %v", n, size, err)
	}
	t.Logf("%d octets there and back took %v", size, took)
	if took > 30*time.Second {
		t.Errorf("%d octets took %v while a reader stood still", size, took)
	}
	if err := q.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reader is told of its loss", 3*soon, func() (bool, string) {
		return strings.Contains(q.Output(), `"type":"lost"`), fmt.Sprintf("%d octets of output", len(q.Output()))
	})
	if err := q.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := q.Wait(soon); err != nil || code != 0 {
		t.Errorf("the trace ended with %d, %v", code, err)
	}
}

// zeros is a source without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestTraceEndsWithTheGateway wants a trace to end by itself, and well, when
// tcpmitm stops, having told of the connections that were ended by that.
func TestTraceEndsWithTheGateway(t *testing.T) {
	if Plain {
		t.Log("plain forwarding shows nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	at := IPv4.At(7000)
	serve(t, l.Server, at, echo)
	q := p.startTrace("--json")
	c := dial(t, l, at)
	exchange(t, "a few octets", c, "hello")
	p.Stop(syscall.SIGTERM)
	if code, err := q.Wait(soon); err != nil || code != 0 {
		t.Errorf("the trace ended with %d, %v", code, err)
	}
	events := tracedEvents(t, q.Output())
	end := events[len(events)-1]
	for i := range events {
		if events[i].Type == "closed" {
			end = events[i]
		}
	}
	if end.Verdict == nil || end.Verdict.How != "shutdown" || end.Verdict.ClientLeg.Code != "KD" {
		t.Errorf("the last event is %+v", end)
	}
}

// TestTraceOfALoss wants a segment that a fault loses to be told with its rule,
// its repair to be known as such, and both to be in the verdict.
func TestTraceOfALoss(t *testing.T) {
	if Plain {
		t.Log("plain forwarding shows nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide + `
[[rule]]
name   = "lose one"
match  = { ports = [7000] }
faults = [{ leg = "server", on = "data", do = "drop", nth = 1 }]
`)
	at := IPv4.At(7000)
	serve(t, l.Server, at, echo)
	asJSON, asText := p.startTrace("--json"), p.startTrace()
	c := dial(t, l, at)
	exchange(t, "a few octets", c, "hello")
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	eventually(t, "the end is told", soon, func() (bool, string) {
		return strings.Contains(asJSON.Output(), `"closed"`) && strings.Contains(asText.Output(), "is over"), asJSON.Output() + asText.Output()
	})
	var lost, again int
	var end *tracedEvent
	for _, e := range tracedEvents(t, asJSON.Output()) {
		switch {
		case e.Type == "fault" && e.Fault.Do == "drop" && e.Rule == "lose one" && e.Leg == "server" && e.Dir == "out" && e.Segment.Len == 5:
			lost++
		case e.Type == "segment" && e.Leg == "server" && e.Dir == "out" && e.Segment.Len == 5 && e.Segment.Again:
			again++
		case e.Type == "closed":
			end = &e
		}
	}
	if lost != 1 || again == 0 {
		t.Errorf("%d losses and %d repairs are told, want 1 and at least 1:\n%s", lost, again, asJSON.Output())
	}
	if end == nil || len(end.Verdict.Fired) != 1 || end.Verdict.Fired[0].Count != 1 || end.Verdict.ServerLeg.Retransmits == 0 {
		t.Errorf("the end is told as %+v", end)
	}
	for _, want := range []string{"✗", `lost by rule "lose one": server data drop nth 1`, "sent before"} {
		if text := strings.Join(strings.Fields(strings.NewReplacer("│", " ", "║", " ").Replace(asText.Output())), " "); !strings.Contains(text, want) {
			t.Errorf("the ladder does not show %q:\n%s", want, asText.Output())
		}
	}
}
