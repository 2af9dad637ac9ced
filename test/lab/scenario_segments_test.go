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
}
