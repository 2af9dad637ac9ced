package lab

import (
	"io"
	"net"
	"testing"
)

// closeScenarios are those of the rare states.
var closeScenarios = []scenario{
	{file: "simultaneous-close", parts: []scenario{
		{file: "client-first", port: 8001, judge: func(t *testing.T, e *evidence) { wantCrossed(t, e.client) }},
		{file: "server-first", port: 7002, nc: true, judge: func(t *testing.T, e *evidence) { wantCrossed(t, e.server) }},
	}},
	{file: "simultaneous-open", judge: func(t *testing.T, e *evidence) {
		syns := pick(e.client, true, isSYN)
		if len(syns) == 0 {
			t.Fatal("the client saw no SYN without ACK")
		}
		// Its kernel answers a SYN in SYN-SENT with SYN-ACK.
		wantNotBefore(t, "the client's SYN-ACK and our SYN", pick(e.client, false, isSYNACK), syns)
		wantCount(t, "RSTs", Select(e.client, isRST), 0)
	}},
}

// wantCrossed wants both sides' first FINs to leave before the other's has
// been acknowledged: the host itself then is in CLOSING.
func wantCrossed(t *testing.T, frames []Frame) {
	t.Helper()
	ours, theirs := pick(frames, false, isFIN), pick(frames, true, isFIN)
	if len(ours) == 0 || len(theirs) == 0 {
		t.Errorf("%d and %d FINs, want both", len(ours), len(theirs))
		return
	}
	a, b := ours[0], theirs[0]
	if int32(a.Ack-(b.Seq+uint32(b.Len))) > 0 || int32(b.Ack-(a.Seq+uint32(a.Len))) > 0 {
		t.Errorf("the FINs do not cross:\n%s\n%s", a.String(), b.String())
	}
}

// greet says something at once, and hangs up after the client.
func greet(c *net.TCPConn) {
	_, _ = c.Write([]byte("hello"))
	_, _ = io.Copy(io.Discard, c)
}
