package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// momentScenarios are those in which something happens to a leg at a moment of
// its life, or to a client that calls.
var momentScenarios = []scenario{
	{file: "reset", wait: time.Second, parts: []scenario{
		{file: "first-byte", port: 8001, exit: 56, judge: func(t *testing.T, e *evidence) {
			wantCount(t, "RSTs at the client", pick(e.client, true, isRST), 1)
			wantCount(t, "RSTs at the server", pick(e.server, false, isRST), 1)
			wantCount(t, "requests at the server", pick(e.server, false, isData), 0)
		}},
		{file: "after", port: 8002, size: 1 << 20, slow: true, exit: 56, judge: func(t *testing.T, e *evidence) {
			wantApart(t, "the handshake's last segment and the RST", pick(e.client, false, isBareACK), pick(e.client, true, isRST), 500*time.Millisecond)
			wantCount(t, "RSTs at the server, which is not told", pick(e.server, false, isRST), 0)
			wantCount(t, "FINs at the server", pick(e.server, false, isFIN), 0)
		}},
		{file: "closing", port: 8003, judge: func(t *testing.T, e *evidence) {
			if len(pick(e.server, false, isRST)) == 0 {
				t.Error("no RST at the server")
			}
			wantCount(t, "RSTs at the client", pick(e.client, true, isRST), 0)
			wantNotBefore(t, "the RST and the FIN", pick(e.server, false, isRST), pick(e.client, false, isFIN))
		}},
		{file: "half-closed", port: 8004, judge: func(t *testing.T, e *evidence) {
			fins := pick(e.client, false, isFIN)
			if len(fins) == 0 {
				t.Fatal("the client sent no FIN")
			}
			wantNotBefore(t, "the RST and the FIN's ACK", pick(e.client, true, isRST), acksOf(e.client, isFIN, true))
			if len(pick(e.server, false, isRST)) == 0 {
				t.Error("no RST at the server")
			}
		}},
	}},
	{file: "fin", wait: 500 * time.Millisecond, parts: []scenario{
		{file: "first-byte", port: 8001, exit: 52, judge: func(t *testing.T, e *evidence) {
			wantCount(t, "data at the client", pick(e.client, true, isData), 0)
			wantNotBefore(t, "the FIN and the request", pick(e.client, true, isFIN), pick(e.client, false, isData))
			wantAllAcknowledged(t, e)
		}},
		{file: "after", port: 8002, size: 1 << 20, slow: true, exit: 18, judge: func(t *testing.T, e *evidence) {
			wantApart(t, "the handshake's last segment and the FIN", pick(e.client, false, isBareACK), pick(e.client, true, isFIN), 500*time.Millisecond)
			wantPrefix(t, e)
		}},
	}},
	{file: "vanish", parts: []scenario{
		{file: "client", port: 8001, exit: 28, curl: []string{"--max-time", "2"}, judge: func(t *testing.T, e *evidence) {
			wantCount(t, "segments to the client but for the SYN-ACK", pick(e.client, true, func(f *Frame) bool { return !f.SYN }), 0)
			if n := again(pick(e.client, false, isData)); n < 2 {
				t.Errorf("the client's kernel has sent its request %d times again into silence, want 2 at least", n)
			}
		}},
		{file: "server", port: 8002, exit: 28, curl: []string{"--max-time", "2"}, judge: func(t *testing.T, e *evidence) {
			data := pick(e.server, true, isData)
			if len(data) == 0 {
				t.Fatal("the server sent nothing")
			}
			wantCount(t, "segments to the server after its first data", pick(e.server, false, func(f *Frame) bool { return f.At.After(data[0].At) }), 0)
			if n := again(data); n < 2 {
				t.Errorf("the server's kernel has sent %d segments again into silence, want 2 at least", n)
			}
			wantCount(t, "RSTs and FINs at the client", pick(e.client, true, func(f *Frame) bool { return f.RST || f.FIN }), 0)
		}},
	}},
	{file: "stall", size: 256 << 10, upload: true, judge: func(t *testing.T, e *evidence) {
		shut := pick(e.client, true, func(f *Frame) bool { return f.Window == 0 && !f.RST })
		if len(shut) == 0 {
			t.Fatal("the client saw no zero window")
		}
		wantApart(t, "the zero window and its end", shut, pick(e.client, true, func(f *Frame) bool {
			return f.Window > 0 && f.At.After(shut[0].At)
		}), time.Second)
	}},
	{file: "dribble", upload: true, judge: func(t *testing.T, e *evidence) {
		scale := scaleOf(e.client, true)
		wantCount(t, "windows of more than 3000 octets", pick(e.client, true, func(f *Frame) bool {
			return !f.SYN && int(f.Window)<<scale > 3000
		}), 0)
		if most := mostUnderWay(e.client, false); most > 3000 {
			t.Errorf("the client had %d octets under way", most)
		}
	}},
	{file: "icmp", parts: []scenario{
		unreachable("network", 8001, 0, "Network is unreachable"),
		unreachable("host", 8002, 1, "No route to host"),
		unreachable("protocol", 8003, 2, "Protocol not available"),
		unreachable("port", 8004, 3, "Connection refused"),
		unreachable("prohibited", 8005, 13, "No route to host"),
		unreachable("number", 8007, 9, "Network is unreachable"),
		{file: "established", port: 8006, judge: func(t *testing.T, e *evidence) {
			wantICMP(t, e, 1)
			wantNotBefore(t, "the ICMP message and the request", Select(e.client, func(f *Frame) bool { return f.ICMP }), pick(e.client, false, isData))
		}},
	}},
	{file: "withhold-acks", judge: func(t *testing.T, e *evidence) {
		data := pick(e.server, true, isData)
		if len(data) == 0 {
			t.Fatal("the server sent nothing")
		}
		wantApart(t, "data and its ACK", data, pick(e.server, false, func(f *Frame) bool { return f.ACK && int32(f.Ack-data[0].Seq) > 0 }), 2*time.Second)
		if n := again(data); n == 0 {
			t.Error("the server has sent nothing again")
		}
		wantAllAcknowledged(t, e)
	}},
	{file: "stretch-acks", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		data, acks := pick(e.server, true, isData), pick(e.server, false, isBareACK)
		if len(acks)*6 > len(data) {
			t.Errorf("%d acknowledgements for %d segments, want one for eight", len(acks), len(data))
		}
	}},
	// nginx sends its header first, and alone: there must be more under way.
	{file: "duplicate-acks", port: 7001, nc: true, judge: func(t *testing.T, e *evidence) {
		data := pick(e.server, true, isData)
		if len(data) == 0 {
			t.Fatal("the server sent nothing")
		}
		acks := pick(e.server, false, func(f *Frame) bool { return isBareACK(f) && int32(f.Ack-data[0].Seq) > 0 })
		if len(acks) == 0 {
			t.Fatal("nothing is acknowledged")
		}
		wantCount(t, "times the first ACK of data came", Select(acks, func(f *Frame) bool { return f.Ack == acks[0].Ack }), 1+3)
		if again(data) == 0 {
			t.Error("the server has sent nothing again")
		}
	}},
	{file: "refuse", exit: 7, judge: func(t *testing.T, e *evidence) {
		wantCount(t, "RSTs at the client", pick(e.client, true, isRST), 1)
		wantCount(t, "segments at the server", pick(e.server, false, isAnything), 0)
		if e.took > time.Second {
			t.Errorf("curl took %v", e.took)
		}
	}},
	{file: "ignore", judge: func(t *testing.T, e *evidence) {
		syns := pick(e.client, false, isSYN)
		wantCount(t, "SYNs of the client", syns, 3)
		wantCount(t, "SYNs at the server", pick(e.server, false, isSYN), 1)
		wantCount(t, "SYN-ACKs at the client", pick(e.client, true, isSYNACK), 1)
		if len(syns) == 3 {
			wantApart(t, "the third SYN and the SYN-ACK", syns[2:], pick(e.client, true, isSYNACK), 0)
		}
		if e.took < 2*time.Second {
			t.Errorf("curl took %v", e.took)
		}
	}},
	{file: "accept-then-die", exit: anyFailure, judge: func(t *testing.T, e *evidence) {
		if !slices.Contains([]int{7, 35, 52, 55, 56}, e.exit) {
			t.Errorf("curl ended with %d", e.exit)
		}
		wantCount(t, "SYN-ACKs at the client", pick(e.client, true, isSYNACK), 1)
		wantNotBefore(t, "the RST and the handshake's end", pick(e.client, true, isRST), pick(e.client, false, isBareACK))
		wantCount(t, "data at the client", pick(e.client, true, isData), 0)
	}},
	{file: "chance", run: func(t *testing.T, e *evidence) {
		var args []string
		for range 20 {
			args = append(args, "-H", "Connection: close", "-o", "/dev/null", "http://"+hostPort(e.at)+"/")
		}
		out, _ := e.lab.Client.Try("curl", append([]string{"-s", "--max-time", "20", "-w", "%{exitcode} "}, args...)...)
		e.got = []byte(out)
	}, changed: true, judge: func(t *testing.T, e *evidence) {
		const want = "0 0 0 0 0 0 0 0 7 7 0 0 0 0 0 0 0 0 7 0"
		if got := strings.TrimSpace(string(e.got)); got != want {
			t.Errorf("curl's exit codes: %q, want %q", got, want)
		}
		wantCount(t, "RSTs at the client", pick(e.client, true, isRST), strings.Count(want, "7"))
		wantCount(t, "SYNs at the server", pick(e.server, false, isSYN), strings.Count(want, "0"))
	}},
	{file: "outage", size: 1 << 20, slow: true, judge: func(t *testing.T, e *evidence) {
		shaken := pick(e.client, false, isBareACK)
		if len(shaken) == 0 {
			t.Fatal("no handshake")
		}
		from, to := shaken[0].At.Add(500*time.Millisecond), shaken[0].At.Add(1500*time.Millisecond)
		during := func(f *Frame) bool { return f.At.After(from.Add(late/10)) && f.At.Before(to.Add(-late/10)) }
		wantCount(t, "segments at the client during the outage", pick(e.client, true, during), 0)
		if n := len(pick(e.server, true, during)); n == 0 {
			t.Error("the server sent nothing meanwhile: the test shows nothing")
		}
	}},
}

// unreachable is the part of a client that is told so.
func unreachable(name string, port uint16, code uint8, says string) scenario {
	return scenario{file: name, port: port, run: func(t *testing.T, e *evidence) {
		out, err := e.lab.Client.Try("curl", "-sSv", "--max-time", "10", "http://"+hostPort(e.at)+"/")
		e.exit = exitCode(err)
		if !strings.Contains(out, says) {
			t.Errorf("curl does not say %q:\n%s", says, out)
		}
	}, exit: 7, judge: func(t *testing.T, e *evidence) {
		wantICMP(t, e, code)
		wantCount(t, "TCP at the client", pick(e.client, true, isAnything), 0)
		wantCount(t, "TCP at the server", pick(e.server, false, isAnything), 0)
	}}
}

// wantICMP wants one ICMP "unreachable" with a code, from the server's address.
func wantICMP(t *testing.T, e *evidence, code uint8) {
	t.Helper()
	got := Select(e.client, func(f *Frame) bool { return f.ICMP })
	if len(got) != 1 || got[0].Type != 3 || got[0].Code != code || got[0].Src.Addr() != ServerIP4 {
		t.Errorf("ICMP messages at the client %v, want one 3/%d from the server", got, code)
	}
}

// wantNotBefore wants the first frame of later not before the first of earlier.
func wantNotBefore(t *testing.T, why string, later, earlier []Frame) {
	t.Helper()
	if len(later) == 0 || len(earlier) == 0 || later[0].At.Before(earlier[0].At) {
		t.Errorf("%s: want one after the other: %v, %v", why, later, earlier)
	}
}

// wantAllAcknowledged wants the server's last octet to be acknowledged to it.
func wantAllAcknowledged(t *testing.T, e *evidence) {
	t.Helper()
	data := pick(e.server, true, isData)
	if len(data) == 0 {
		t.Error("the server sent nothing")
		return
	}
	end := data[0].Seq
	for _, f := range data {
		if at := f.Seq + uint32(f.Len); int32(at-end) > 0 {
			end = at
		}
	}
	if len(pick(e.server, false, func(f *Frame) bool { return f.ACK && int32(f.Ack-end) >= 0 })) == 0 {
		t.Errorf("the server's octets up to %d are not acknowledged", end)
	}
}

// wantPrefix wants some of what was sent to have arrived, from its beginning,
// and not all.
func wantPrefix(t *testing.T, e *evidence) {
	t.Helper()
	if n := len(e.got); n == 0 || n >= len(e.sent) || sum(e.got) != sum(e.sent[:n]) {
		t.Errorf("%d octets arrived of %d, want the first part of them", n, len(e.sent))
	}
}

// scaleOf is the shift count that one side has announced.
func scaleOf(frames []Frame, fromServer bool) int {
	syns := pick(frames, fromServer, func(f *Frame) bool { return f.SYN })
	if len(syns) == 0 {
		return 0
	}
	return max(0, syns[0].Scale)
}

// mostUnderWay is how many octets one side had sent at most that were not
// acknowledged, as its own wire shows it.
func mostUnderWay(frames []Frame, fromServer bool) (most int) {
	var acked uint32
	for i := range frames {
		switch f := &frames[i]; {
		case f.ICMP:
		case f.fromServer() != fromServer && f.ACK:
			acked = f.Ack
		case f.fromServer() == fromServer && f.Len > 0 && acked != 0:
			most = max(most, int(int32(f.Seq+uint32(f.Len)-acked)))
		}
	}
	return most
}
