package lab

import (
	"testing"
	"time"
)

// segmentScenarios are those in which the wire does something to segments.
var segmentScenarios = []scenario{
	{file: "delay-syn-ack", judge: func(t *testing.T, e *evidence) {
		wantApart(t, "SYN-ACK at the server and at the client", pick(e.server, true, isSYNACK), pick(e.client, true, isSYNACK), 300*time.Millisecond)
		wantCount(t, "SYN-ACKs at the client", pick(e.client, true, isSYNACK), 1)
	}},
	{file: "delay-ack", size: 100 << 10, judge: func(t *testing.T, e *evidence) {
		data := pick(e.server, true, isData)
		wantApart(t, "data and its ACK at the server", data, pick(e.server, false, func(f *Frame) bool {
			return isBareACK(f) && len(data) > 0 && int32(f.Ack-data[0].Seq) > 0
		}), 500*time.Millisecond)
	}},
	{file: "delay-fin", wait: 2500 * time.Millisecond, judge: func(t *testing.T, e *evidence) {
		wantApart(t, "FIN at the server and at the client", pick(e.server, true, isFIN), pick(e.client, true, isFIN), 2*time.Second)
		wantCount(t, "FINs at the client", pick(e.client, true, isFIN), 1)
	}},
	{file: "drop-data", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		// The server has sent each octet once; what the client got twice, or
		// out of order, is our own retransmission.
		if n := again(pick(e.server, true, isData)); n > 0 {
			t.Errorf("the server sent %d segments again", n)
		}
		got := pick(e.client, true, isData)
		holes := holesIn(got)
		if want := len(got) / 100; holes < want*8/10 || holes > want*12/10+1 {
			t.Errorf("%d holes among %d segments, want one in 100", holes, len(got))
		}
	}},
	{file: "drop-syn", judge: func(t *testing.T, e *evidence) {
		// The client's own timer is as long as ours: its second SYN may just leave.
		if n := len(pick(e.client, false, isSYN)); n > 2 {
			t.Errorf("the client has sent %d SYNs", n)
		}
		wantApart(t, "SYN at the client and at the server", pick(e.client, false, isSYN), pick(e.server, false, isSYN), time.Second)
	}},
	{file: "drop-syn-ack", judge: func(t *testing.T, e *evidence) {
		wantApart(t, "SYN-ACK at the server and at the client", pick(e.server, true, isSYNACK), pick(e.client, true, isSYNACK), time.Second)
		wantCount(t, "SYNs at the server", pick(e.server, false, isSYN), 1)
	}},
	{file: "drop-handshake-ack", judge: func(t *testing.T, e *evidence) {
		if got := pick(e.server, false, isAnything); len(got) < 2 || got[1].Len == 0 {
			t.Error("the first segment after the SYN at the server is not the data")
		}
	}},
	{file: "drop-arriving-data", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		if n := again(pick(e.server, true, isData)); n < 5 {
			t.Errorf("the server has sent %d segments again, want about 14", n)
		}
		// One or two may be probes of the tail, where the machine is busy.
		if n := again(pick(e.client, true, isData)); n > 2 {
			t.Errorf("the client got %d segments twice: the loss is on the other leg", n)
		}
	}},
	{file: "drop-last-ack", wait: time.Second, judge: func(t *testing.T, e *evidence) {
		fins := pick(e.server, true, isFIN)
		if len(fins) < 2 {
			t.Errorf("the server has sent %d FINs, want another one", len(fins))
			return
		}
		end := fins[0].Seq + uint32(fins[0].Len) + 1
		wantCount(t, "last ACKs at the server", pick(e.server, false, func(f *Frame) bool { return isBareACK(f) && f.Ack == end }), 1)
	}},
	{file: "drop-middle", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		got := pick(e.client, true, isData)
		if n := holesIn(got); n != 1 {
			t.Errorf("%d holes, want 1", n)
		}
	}},
	{file: "duplicate-data", judge: func(t *testing.T, e *evidence) {
		got := pick(e.client, true, isData)
		if n := again(got); n*2 != len(got) {
			t.Errorf("%d of %d segments came a second time, want half of them", n, len(got))
		}
	}},
	{file: "reorder-data", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		got := pick(e.client, true, isData)
		if n := holesIn(got); n < len(got)/20*7/10 {
			t.Errorf("%d segments were overtaken of %d, want about one in 20", n, len(got))
		}
	}},
	{file: "corrupt-data", size: 1 << 20, judge: func(t *testing.T, e *evidence) {
		bad := e.captures[0].Tshark("tcp.srcport == 80 && tcp.checksum.status == 0")
		got := pick(e.client, true, isData)
		if n := len(got) / 50; len(bad) < n*7/10 || len(bad) > n*13/10+1 {
			t.Errorf("%d segments of %d have a wrong checksum, want one in 50", len(bad), len(got))
		}
	}},
	{file: "hold-data", exit: 28, curl: []string{"--max-time", "1"}, wait: 500 * time.Millisecond, judge: func(t *testing.T, e *evidence) {
		wantApart(t, "the client's FIN and the request at the server", pick(e.client, false, isFIN), pick(e.server, false, isData), 0)
		if e.took < time.Second-early {
			t.Errorf("the client gave up after %v: the test shows nothing", e.took)
		}
	}},
	{file: "split-data", judge: func(t *testing.T, e *evidence) {
		wantCount(t, "segments of more than 100 octets", pick(e.client, true, func(f *Frame) bool { return f.Len > 100 }), 0)
	}},
	{file: "rewrite-header", judge: func(t *testing.T, e *evidence) {
		// The gateway's own forwarding takes one from the TTL.
		wantCount(t, "data with another TTL or class", pick(e.client, true, func(f *Frame) bool {
			return f.Len > 0 && (f.TTL != 8 || f.TOS>>2 != 46)
		}), 0)
	}},
	{file: "rewrite-urgent", exit: 28, curl: []string{"--max-time", "2"}, judge: func(t *testing.T, e *evidence) {
		wantCount(t, "urgent segments", pick(e.client, true, func(f *Frame) bool { return f.URG && f.Urgent == 1 }), 1)
		if n := len(e.sent) - len(e.got); n != 1 {
			t.Errorf("the client lacks %d octets, want the urgent one", n)
		}
	}},
	{file: "delay-data", judge: func(t *testing.T, e *evidence) {
		at, got := pick(e.server, true, isData), pick(e.client, true, isData)
		if len(at) == 0 || len(got) == 0 {
			t.Fatal("no data")
		}
		if d := got[0].At.Sub(at[0].At); d < 50*time.Millisecond-early || d > 150*time.Millisecond+late {
			t.Errorf("the first data came %v late, want 50 to 150 ms", d)
		}
		if holesIn(got) == 0 {
			t.Error("nothing was overtaken")
		}
	}},
	{file: "delay-arriving-fin", wait: 2500 * time.Millisecond, judge: func(t *testing.T, e *evidence) {
		wantApart(t, "FIN at the client and at the server", pick(e.client, false, isFIN), pick(e.server, false, isFIN), 2*time.Second)
	}},
	// curl gives up in the middle: what it has not read makes its kernel reset.
	{file: "drop-rst", size: 50 << 20, exit: 28, curl: []string{"--limit-rate", "1M", "--max-time", "1"}, wait: 500 * time.Millisecond,
		judge: func(t *testing.T, e *evidence) {
			if len(pick(e.client, false, isRST)) == 0 {
				t.Error("the client sent no RST: the test shows nothing")
			}
			wantCount(t, "RSTs at the server", pick(e.server, false, isRST), 0)
		}},
	{file: "drop-window-update", size: 256 << 10, upload: true, judge: func(t *testing.T, e *evidence) {
		shut := pick(e.client, true, func(f *Frame) bool { return f.Window == 0 && !f.RST })
		if len(shut) == 0 {
			t.Fatal("the client saw no zero window")
		}
		open := pick(e.client, true, func(f *Frame) bool { return f.Window > 0 && f.At.After(shut[0].At) })
		if len(open) == 0 || open[0].At.Sub(shut[0].At) < time.Second-early {
			t.Fatalf("the window was open again too early, or never: %v", open)
		}
		probes := pick(e.client, false, func(f *Frame) bool {
			return f.At.After(shut[0].At.Add(time.Second)) && !f.At.After(open[0].At)
		})
		wantNotBefore(t, "the open window and a probe", open, probes)
	}},
	{file: "duplicate-fin", wait: 200 * time.Millisecond, judge: func(t *testing.T, e *evidence) {
		fins := pick(e.client, true, isFIN)
		wantCount(t, "FINs at the client", fins, 3)
		wantCount(t, "FINs of the server", pick(e.server, true, isFIN), 1)
	}},
}
