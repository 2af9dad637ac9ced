package lab

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"slices"
	"testing"
	"time"
)

// streamLimit is where scenarios/limit.toml ends a stream.
const streamLimit = 20 << 10

// streamScenarios are those in which something is done to the octets.
var streamScenarios = []scenario{
	{file: "latency", curl: []string{"-H", "Connection: close"}, wait: 200 * time.Millisecond, judge: func(t *testing.T, e *evidence) {
		data := pick(e.server, true, isData)
		wantApart(t, "data at the server and at the client", data, pick(e.client, true, isData), 300*time.Millisecond)
		wantApart(t, "FIN at the server and at the client", pick(e.server, true, isFIN), pick(e.client, true, isFIN), 300*time.Millisecond)
		if len(data) > 0 {
			wantApart(t, "data and its ACK at the server", data, pick(e.server, false, func(f *Frame) bool { return f.ACK && int32(f.Ack-data[0].Seq) > 0 }), 0)
		}
	}},
	{file: "throttle", size: 256 << 10, judge: func(t *testing.T, e *evidence) {
		data := pick(e.client, true, isData)
		if len(data) == 0 {
			t.Fatal("no data")
		}
		want := time.Duration(float64(256<<10-16<<10) / 256e3 * float64(time.Second))
		if took := data[len(data)-1].At.Sub(data[0].At); took < want*9/10 || took > want*12/10+late {
			t.Errorf("the data took %v, want %v (tolerance -10 %%, +20 %%)", took, want)
		}
	}},
	{file: "slice", size: 20 << 10, judge: func(t *testing.T, e *evidence) {
		data := pick(e.client, true, isData)
		wantCount(t, "segments of more than 1000 octets", pick(e.client, true, func(f *Frame) bool { return f.Len > 1000 }), 0)
		if n := len(data); n < 21 || data[n-1].At.Sub(data[0].At) < time.Duration(n-2)*10*time.Millisecond {
			t.Errorf("%d segments, want 21, 10 ms apart", n)
		}
	}},
	{file: "limit", wait: 300 * time.Millisecond, parts: []scenario{
		{file: "fin", port: 8001, exit: 18, judge: func(t *testing.T, e *evidence) {
			wantLimited(t, e)
			if len(pick(e.client, true, isFIN)) == 0 {
				t.Error("no FIN at the client")
			}
			wantCount(t, "RSTs at the client before it hangs up", pick(e.client, true, func(f *Frame) bool {
				return f.RST && f.At.Before(pick(e.client, false, isFIN)[0].At)
			}), 0)
		}},
		{file: "reset", port: 8002, exit: 56, judge: func(t *testing.T, e *evidence) {
			wantLimited(t, e)
			wantCount(t, "RSTs at the client", pick(e.client, true, isRST), 1)
			if len(pick(e.server, false, isRST)) == 0 {
				t.Error("no RST at the server")
			}
		}},
		{file: "vanish", port: 8003, exit: 28, curl: []string{"--max-time", "1.5"}, judge: func(t *testing.T, e *evidence) {
			wantLimited(t, e)
			wantCount(t, "FINs and RSTs at the client", pick(e.client, true, func(f *Frame) bool { return f.FIN || f.RST }), 0)
			wantCount(t, "FINs and RSTs at the server", pick(e.server, false, func(f *Frame) bool { return f.FIN || f.RST }), 0)
		}},
	}},
	{file: "replace", content: secrets, want: func(sent []byte) []byte {
		return card.ReplaceAll(bytes.ReplaceAll(sent, []byte("<<secret>>"), []byte("[[SECRET]]")), []byte("card-****-${2}"))
	}, judge: func(t *testing.T, e *evidence) {
		if bytes.Contains(e.got, []byte("secret")) || !bytes.Contains(e.got, []byte("card-****-")) {
			t.Error("a secret has arrived, or no card")
		}
	}},
	{file: "insert", parts: []scenario{
		{file: "at-the-beginning", port: 7001, nc: true, upload: true, want: func(sent []byte) []byte {
			return append([]byte("PROXY UNKNOWN\r\n"), sent...)
		}},
		{file: "in-the-middle", port: 7002, nc: true, want: func(sent []byte) []byte {
			return slices.Insert(bytes.Clone(sent), 10000, []byte("-- inserted --")...)
		}},
	}},
	{file: "discard", parts: []scenario{{file: "range", port: 7001, nc: true, want: func(sent []byte) []byte {
		return slices.Delete(bytes.Clone(sent), 10<<10, 20<<10)
	}}}},
	{file: "corrupt-stream", changed: true, judge: func(t *testing.T, e *evidence) {
		if len(e.got) != len(e.sent) {
			t.Fatalf("%d octets of %d have arrived", len(e.got), len(e.sent))
		}
		wrong := 0
		for i := range e.got {
			n := bits.OnesCount8(e.got[i] ^ e.sent[i])
			if wrong += min(n, 1); n > 1 || n > 0 && i < 9<<10 { // the answer's header comes before
				t.Errorf("octet %d has %d wrong bits", i, n)
			}
		}
		if want := (len(e.sent) - 10<<10) / 1000; wrong < want-1 || wrong > want+1 {
			t.Errorf("%d octets are wrong, want %d", wrong, want)
		}
		wantCount(t, "segments with a wrong checksum", make([]Frame, len(e.captures[0].Tshark("tcp.srcport == 80 && tcp.checksum.status == 0"))), 0)
	}},
	{file: "hold-until", parts: []scenario{
		{file: "by", port: 8001, judge: func(t *testing.T, e *evidence) {
			wantApart(t, "the handshake and the request at the server", pick(e.server, false, isBareACK), pick(e.server, false, isData), time.Second)
			wantApart(t, "the request and its ACK at the client", pick(e.client, false, isData), acksOf(e.client, isData, true), 0)
		}},
		// nginx sends 256 KiB at once, and more after a second.
		{file: "bytes", port: 8002, size: 512 << 10, slow: true, judge: func(t *testing.T, e *evidence) {
			first, data := pick(e.server, true, isData), pick(e.client, true, isData)
			if len(first) == 0 || len(data) == 0 {
				t.Fatal("no data")
			}
			before := 0
			for _, f := range first {
				if f.At.Before(data[0].At) {
					before += f.Len
				}
			}
			if before < 300<<10 || data[0].At.Sub(first[0].At) < 100*time.Millisecond {
				t.Errorf("data came to the client after %v, when %d octets had come from the server", data[0].At.Sub(first[0].At), before)
			}
		}},
		{file: "until", port: 7003, run: func(t *testing.T, e *evidence) {
			talk("sleep 1")(t, e)
		}, serve: greet, judge: func(t *testing.T, e *evidence) {
			wantApart(t, "the FIN and the data at the client", pick(e.client, false, isFIN), pick(e.client, true, isData), 0)
			if first := pick(e.server, true, isData); len(first) == 0 || first[0].At.After(pick(e.client, false, isFIN)[0].At) {
				t.Error("the server did not greet before the client was done: the test shows nothing")
			}
		}},
	}},
	link("3g", 250*time.Millisecond, 1.6e6/8),
	link("dsl", 50*time.Millisecond, 16e6/8),
	link("satellite", 600*time.Millisecond, 25e6/8),
	link("lossy-wifi", 4*time.Millisecond, 20e6/8),
}

// card is the pattern of scenarios/replace.toml.
var card = regexp.MustCompile(`card-([0-9]{4})-([0-9]{4})`)

// secrets is a file with what scenarios/replace.toml replaces in it, at
// distances that put it across the borders of segments.
func secrets() []byte {
	data := make([]byte, 256<<10)
	_, _ = io.ReadFull(random(9), data)
	for n, at := 0, 700; at+40 < len(data); n, at = n+1, at+1381 {
		copy(data[at:], fmt.Sprintf("<<secret>> card-%04d-%04d", n, 9999-n))
	}
	return data
}

// wantLimited wants the client to have got the first octets of the stream and
// no more: those of HTTP's header and of the file together.
func wantLimited(t *testing.T, e *evidence) {
	t.Helper()
	wantPrefix(t, e)
	syn := synOf(t, e.client, true)
	end := uint32(0)
	for _, f := range pick(e.client, true, isData) {
		end = max(end, f.Seq+uint32(f.Len)-syn.Seq-1)
	}
	if end != streamLimit {
		t.Errorf("%d octets came to the client, want %d", end, streamLimit)
	}
}

// link is the scenario of a named link: a round trip, and octets a second to
// the client.
func link(name string, rtt time.Duration, rate float64) scenario {
	return scenario{file: "link-" + name, size: int64(rate * 0.6), judge: func(t *testing.T, e *evidence) {
		syns := pick(e.client, false, isSYN)
		acks := pick(e.client, true, isSYNACK)
		// What is lost of a handshake comes a second later.
		if len(syns) == 0 || len(acks) == 0 || acks[0].At.Sub(syns[0].At) < rtt-early {
			t.Errorf("the SYN-ACK came too early: %v, %v; want %v", syns, acks, rtt)
		}
		// A tenth of a second's octets may come at once.
		if data := pick(e.client, true, isData); len(data) == 0 || data[len(data)-1].At.Sub(data[0].At) < 400*time.Millisecond {
			t.Errorf("%d octets came faster than %.0f in a second", len(e.got), rate)
		}
	}}
}
