package trace

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// sample is a connection: handshake server first, a request, an answer, and a
// FIN that a rule holds for a second.
func sample() (events []splice.SegmentEvent, end splice.Summary) {
	const (
		cISN, ourC = endpoint.Seq(3735928559), endpoint.Seq(1122334455)
		sISN, ourS = endpoint.Seq(4294967290), endpoint.Seq(2000000001)
		S, A, P, F = endpoint.SYN, endpoint.ACK, endpoint.PSH, endpoint.FIN
	)
	opt := endpoint.Options{Has: endpoint.HasMSS | endpoint.HasWindowScale | endpoint.HasSACKPermitted | endpoint.HasTimestamps, MSS: 1460, WindowScale: 7}
	at := endpoint.Time(1_000_000_000)
	states := [2]endpoint.State{endpoint.Listen, endpoint.Closed}
	add := func(after time.Duration, leg endpoint.Leg, out bool, f endpoint.Flags, seq, ack uint32, n int, state endpoint.State, note string) {
		at = at.Add(after)
		e := splice.SegmentEvent{
			At: at, Conn: 1, Rule: "late goodbye", Leg: leg, Out: out, Flags: f, Len: n, Window: 502, Scale: 7, Note: note,
			Client: netip.MustParseAddrPort("10.77.1.2:41712"), Server: netip.MustParseAddrPort("10.77.2.2:80"),
			ISS: ourC, IRS: cISN, Before: states[leg], After: state,
		}
		if leg == endpoint.Server {
			e.ISS, e.IRS = ourS, sISN
		}
		from, to := e.IRS, e.ISS
		if out {
			from, to = to, from
		}
		e.Seq = from.Plus(int(seq))
		if f.Has(A) {
			e.Ack = to.Plus(int(ack))
		}
		if f.Has(S) {
			e.Window, e.Scale, e.Options = 64240, 0, opt
		}
		states[leg] = state
		events = append(events, e)
	}
	const c, s = endpoint.Client, endpoint.Server
	const us = time.Microsecond
	add(0, c, false, S, 0, 0, 0, endpoint.Listen, "held until the server answers")
	add(80*us, s, true, S, 0, 0, 0, endpoint.SynSent, "")
	add(310*us, s, false, S|A, 0, 1, 0, endpoint.Established, "")
	add(20*us, s, true, A, 1, 1, 0, endpoint.Established, "")
	add(5*us, c, true, S|A, 0, 1, 0, endpoint.SynReceived, "")
	add(290*us, c, false, A, 1, 1, 0, endpoint.Established, "")
	add(40*us, c, false, P|A, 1, 1, 78, endpoint.Established, "")
	add(10*us, s, true, P|A, 1, 1, 78, endpoint.Established, "")
	add(900*us, s, false, P|A, 1, 79, 65160, endpoint.Established, "")
	add(30*us, c, true, P|A, 1, 79, 65160, endpoint.Established, "")
	add(30*us, c, false, A, 79, 30000, 0, endpoint.Established, "")
	events[len(events)-1].Options = endpoint.Options{SACKBlocks: 1, SACK: [4]endpoint.Range{{Start: ourC.Plus(31449), End: ourC.Plus(65161)}}}
	add(200*us, c, false, P|A, 40, 65161, 39, endpoint.Established, "")
	events[len(events)-1].Reason = endpoint.ReasonOldDuplicate
	add(500*us, s, false, F|A, 65161, 79, 0, endpoint.CloseWait, "")
	add(time.Second, c, true, F|A, 65161, 79, 0, endpoint.FinWait1, "FIN held 1s by rule late goodbye")
	add(400*us, c, false, F|A, 79, 65162, 0, endpoint.TimeWait, "")
	add(10*us, c, true, A, 65162, 80, 0, endpoint.TimeWait, "")
	add(5*us, s, true, F|A, 79, 65162, 0, endpoint.LastAck, "")
	add(300*us, s, false, A, 65162, 80, 0, endpoint.Closed, "")
	return events, splice.Summary{
		Conn: 1, Client: events[0].Client, Server: events[0].Server, Rule: "late goodbye",
		Duration: at.Sub(events[0].At), ToServer: 78, ToClient: 65160, FirstClose: "server", How: splice.ByFIN,
		ClientState: endpoint.TimeWait, ServerState: endpoint.LastAck, Legs: sampleLegs(),
		Started: epoch.Add(time.Second),
	}
}

func draw(colour bool, do func(l *Ladder)) string {
	var b bytes.Buffer
	do(NewLadder(&b, LadderOptions{Colour: colour}))
	return b.String()
}

func tellStory(l *Ladder) {
	for _, e := range story() {
		l.Draw(e)
	}
}

func wantGolden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the picture is not that of %s (go test -rewrite makes it so):\n%s", file, got)
	}
}

func TestLadder(t *testing.T) {
	got := draw(false, tellStory)
	wantGolden(t, "testdata/ladder.txt", got)
	for _, line := range strings.Split(got, "\n") {
		if width(line) > 120 && !strings.HasPrefix(line, "connection") && !strings.HasPrefix(line, "  ") {
			t.Errorf("a line of %d columns: %s", width(line), line)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colour without a terminal")
	}
}

// Colour changes nothing but the colour.
func TestLadderColour(t *testing.T) {
	both := [2]string{}
	for i := range both {
		both[i] = draw(i == 1, tellStory)
	}
	if !strings.Contains(both[1], "\x1b[1;33m") {
		t.Error("the rule's note has no colour")
	}
	var stripped strings.Builder
	for rest := both[1]; rest != ""; {
		i := strings.IndexByte(rest, '\x1b')
		if i < 0 {
			stripped.WriteString(rest)
			break
		}
		stripped.WriteString(rest[:i])
		rest = rest[i+strings.IndexByte(rest[i:], 'm')+1:]
	}
	if stripped.String() != both[0] {
		t.Errorf("with its colours taken out the picture differs:\n%s", stripped.String())
	}
}

// Lines of two connections that alternate are told apart.
func TestLadderTwoConnections(t *testing.T) {
	got := draw(false, func(l *Ladder) {
		events, _ := sample()
		for _, e := range events[:2] {
			l.Draw(told(&e))
			e.Conn, e.Rule = 2, ""
			l.Draw(told(&e))
		}
	})
	var heads []string
	for _, line := range strings.Split(got, "\n") {
		if strings.HasPrefix(line, "connection") {
			heads = append(heads, line)
		}
	}
	want := []string{
		`connection 1: 10.77.1.2:41712 -> 10.77.2.2:80, rule "late goodbye"`,
		`connection 2: 10.77.1.2:41712 -> 10.77.2.2:80`,
		`connection 1: 10.77.1.2:41712 -> 10.77.2.2:80, rule "late goodbye" (continued)`,
		`connection 2: 10.77.1.2:41712 -> 10.77.2.2:80 (continued)`,
	}
	if strings.Join(heads, "\n") != strings.Join(want, "\n") {
		t.Errorf("headings\n%s\nwant\n%s", strings.Join(heads, "\n"), strings.Join(want, "\n"))
	}
}

func TestLadderForgets(t *testing.T) {
	l := NewLadder(&bytes.Buffer{}, LadderOptions{})
	events, _ := sample()
	for n := range uint64(maxPictured + 100) {
		events[0].Conn = n + 1
		l.Draw(told(&events[0]))
	}
	if len(l.conns) != maxPictured || len(l.order) != maxPictured {
		t.Errorf("remembers %d connections, want %d", len(l.conns), maxPictured)
	}
	if l.conns[100] != nil || l.conns[101] == nil {
		t.Error("forgot another connection than the oldest")
	}
}
