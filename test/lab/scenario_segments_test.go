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
	{file: "delay-ack", upload: true, size: 100, judge: func(t *testing.T, e *evidence) {
		wantApart(t, "data and its ACK at the client", pick(e.client, false, isData), acksOf(e.client, isData, true), 500*time.Millisecond)
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
		holes := 0
		got := pick(e.client, true, isData)
		for i := 1; i < len(got); i++ {
			if int32(got[i].Seq-got[i-1].Seq) > int32(got[i-1].Len) {
				holes++
			}
		}
		if want := len(got) / 100; holes < want*8/10 || holes > want*12/10+1 {
			t.Errorf("%d holes among %d segments, want one in 100", holes, len(got))
		}
	}},
}
