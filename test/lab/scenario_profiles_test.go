package lab

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
)

// belowWrap is the initial sequence number of scenarios/isn.toml.
const belowWrap = 4294967040

// profileScenarios are those in which the endpoint of a leg behaves otherwise.
var profileScenarios = []scenario{
	{file: "syn-options", options: Options{Sysctls: map[string]string{"net.ipv4.tcp_ecn": "1"}}, parts: []scenario{
		{file: "mss", port: 8001, upload: true, judge: func(t *testing.T, e *evidence) {
			if f := synOf(t, e.client, true); f.MSS != 600 {
				t.Errorf("the SYN-ACK says MSS %d, want 600", f.MSS)
			}
			wantCount(t, "segments of more than 600 octets", Select(e.client, func(f *Frame) bool { return f.Len > 600 }), 0)
		}},
		{file: "no-mss", port: 8002, upload: true, judge: func(t *testing.T, e *evidence) {
			if f := synOf(t, e.client, true); f.MSS != 0 {
				t.Errorf("the SYN-ACK says MSS %d, want no such option", f.MSS)
			}
			// RFC 9293, 3.7.1: 536 where nothing is said.
			wantCount(t, "segments of more than 536 octets", pick(e.client, false, func(f *Frame) bool { return f.Len > 536 }), 0)
		}},
		{file: "no-sack", port: 8003, judge: func(t *testing.T, e *evidence) {
			if synOf(t, e.client, true).SACKOK || !synOf(t, e.server, false).SACKOK {
				t.Error("SACK is offered to the client, or not to the server")
			}
		}},
		{file: "no-timestamps", port: 8004, judge: func(t *testing.T, e *evidence) {
			if !synOf(t, e.client, false).Timestamps || !synOf(t, e.server, false).Timestamps {
				t.Error("the client or we do not offer timestamps: the test shows nothing")
			}
			wantCount(t, "segments to the client with timestamps", pick(e.client, true, func(f *Frame) bool { return f.Timestamps }), 0)
		}},
		{file: "scale", port: 8005, upload: true, size: 1 << 20, judge: func(t *testing.T, e *evidence) {
			if f := synOf(t, e.client, true); f.Scale != 2 {
				t.Errorf("the SYN-ACK says a shift of %d, want 2", f.Scale)
			}
		}},
		{file: "no-scale", port: 8006, upload: true, size: 1 << 20, judge: func(t *testing.T, e *evidence) {
			if f := synOf(t, e.client, true); f.Scale != -1 {
				t.Errorf("the SYN-ACK says a shift of %d, want no such option", f.Scale)
			}
			if most := mostUnderWay(e.client, false); most > 65535 {
				t.Errorf("the client had %d octets under way", most)
			}
		}},
		{file: "window", port: 8007, upload: true, judge: func(t *testing.T, e *evidence) {
			scale := scaleOf(e.client, true)
			wantCount(t, "windows of more than 8 KiB", pick(e.client, true, func(f *Frame) bool {
				return f.SYN && f.Window > 8192 || !f.SYN && int(f.Window)<<scale > 8192
			}), 0)
			if most := mostUnderWay(e.client, false); most > 8192 {
				t.Errorf("the client had %d octets under way", most)
			}
		}},
		{file: "ecn", port: 8008, judge: func(t *testing.T, e *evidence) {
			if f := synOf(t, e.client, false); !f.ECE || !f.CWR {
				t.Error("the client does not ask for ECN: the test shows nothing")
			}
			if f := synOf(t, e.client, true); !f.ECE || f.CWR {
				t.Errorf("the SYN-ACK does not agree to ECN: %+v", f)
			}
			// RFC 3168, 6.1.5: what is sent again, perhaps cut otherwise, is
			// not marked.
			next, bare := synOf(t, e.client, true).Seq+1, 0
			for _, f := range pick(e.client, true, isData) {
				end := f.Seq + uint32(f.Len)
				if f.TOS&3 == 0 && int32(f.Seq-next) >= 0 {
					bare++
				}
				if int32(end-next) > 0 {
					next = end
				}
			}
			if bare > 0 {
				t.Errorf("%d segments with new data to the client are without ECT", bare)
			}
			if f := synOf(t, e.server, false); f.ECE || f.CWR {
				t.Errorf("the server is asked for ECN: %+v", f)
			}
		}},
	}},
	{file: "isn", parts: []scenario{
		{file: "client-leg", port: 8001, judge: func(t *testing.T, e *evidence) {
			wantWrap(t, pick(e.client, true, isAnything))
		}},
		{file: "server-leg", port: 8002, upload: true, judge: func(t *testing.T, e *evidence) {
			wantWrap(t, pick(e.server, false, isAnything))
		}},
		{file: "random", port: 7003, serve: sayGoodbye, run: twice, judge: func(t *testing.T, e *evidence) {
			if got := pick(e.client, true, isSYNACK); len(got) != 2 || got[0].Seq == got[1].Seq {
				t.Errorf("SYN-ACKs %v, want two with different numbers", got)
			}
		}},
		{file: "clock", port: 7004, serve: sayGoodbye, run: twice, judge: func(t *testing.T, e *evidence) {
			got := pick(e.client, true, isSYNACK)
			if len(got) != 2 || got[0].Dst != got[1].Dst {
				t.Fatalf("SYN-ACKs %v, want two to the same port", got)
			}
			// RFC 6528, 3: M goes up by one every 4 µs.
			want := float64(got[1].At.Sub(got[0].At).Microseconds()) / 4
			if d := float64(int32(got[1].Seq - got[0].Seq)); d < want*0.5 || d > want*1.5+10000 {
				t.Errorf("the second number is %.0f after the first, want about %.0f", d, want)
			}
		}},
	}},
	{file: "header", judge: func(t *testing.T, e *evidence) {
		wantCount(t, "segments with another TTL or class", pick(e.client, true, func(f *Frame) bool { return f.TTL != 8 || f.TOS>>2 != 10 }), 0)
		if got := pick(e.server, false, func(f *Frame) bool { return f.TTL == 8 || f.TOS>>2 == 10 }); len(got) > 0 {
			t.Errorf("%d segments to the server have the client leg's TTL or class", len(got))
		}
	}},
	{file: "timers", wait: 500 * time.Millisecond, parts: []scenario{
		{file: "ack-delay", port: 7001, serve: swallow, run: talk(hello), judge: wantACKAfter(150 * time.Millisecond)},
		{file: "no-ack-delay", port: 7002, serve: swallow, run: talk(hello), judge: wantACKAfter(0)},
		{file: "time-wait", port: 7003, serve: sayGoodbye, run: repeatFIN, judge: func(t *testing.T, e *evidence) {
			fins := pick(e.client, false, isFIN)
			if len(fins) != 3 {
				t.Fatalf("%d FINs of the client, want its own and two more", len(fins))
			}
			got := pick(e.client, true, func(f *Frame) bool { return isBareACK(f) && f.Ack == fins[0].Seq+1 })
			wantCount(t, "ACKs of the client's FINs, of which the last came too late", got, 2)
		}},
		{file: "retries", port: 7004, exit: anyFailure, run: func(t *testing.T, e *evidence) {
			silence(e)
			e.program(t, anyFailure, "nc", "-w", "2", "-z", e.at.Addr().String(), fmt.Sprint(e.at.Port()))
		}, judge: func(t *testing.T, e *evidence) {
			syns := pick(e.server, false, isSYN)
			wantCount(t, "SYNs at the server", syns, 2)
			if len(syns) == 2 {
				wantApart(t, "the SYNs", syns, syns[1:], time.Second)
			}
		}},
		{file: "keep-alive", port: 7005, serve: swallow, run: talk("sleep 2.6"), judge: func(t *testing.T, e *evidence) {
			syn := synOf(t, e.client, true)
			probes := pick(e.client, true, func(f *Frame) bool { return f.ACK && !f.SYN && !f.FIN && f.Seq == syn.Seq })
			wantCount(t, "probes", probes, 2)
			wantApart(t, "the handshake and the first probe", pick(e.client, false, isBareACK), probes, time.Second)
			if n := len(pick(e.client, false, isBareACK)); n < 3 {
				t.Errorf("the client's kernel has sent %d ACKs, want one for each probe too", n)
			}
		}},
		{file: "user-timeout", port: 7006, serve: swallow, run: func(t *testing.T, e *evidence) {
			time.AfterFunc(500*time.Millisecond, func() { silence(e) }) // the connection is there by then
			talk("sleep 1; echo hello; sleep 2")(t, e)
		}, judge: func(t *testing.T, e *evidence) {
			hello := pick(e.client, false, isData)
			wantApart(t, "the client's data and its reset", hello, pick(e.client, true, isRST), time.Second)
			if n := again(pick(e.server, false, isData)); n < 1 {
				t.Errorf("it was sent again %d times", n)
			}
		}},
	}},
	{file: "congestion", size: 300 << 10, parts: []scenario{
		{file: "initial-window", port: 8001, judge: func(t *testing.T, e *evidence) {
			f := flights(e.client)
			t.Logf("flights of %v segments", f)
			if len(f) < 3 || f[0] != 2 || f[1] != 3 && f[1] != 4 || f[2] < 5 {
				t.Errorf("flights of %v segments, want 2, 3 or 4 (the header is short), and then about twice as many each", f)
			}
		}},
		{file: "newreno", port: 8002, size: 150 << 10, judge: wantAfterLoss(17, 23)},
		{file: "cubic", port: 8003, size: 150 << 10, judge: wantAfterLoss(24, 31)},
	}},
}

// synOf is the first segment with SYN of one side.
func synOf(t *testing.T, frames []Frame, fromServer bool) Frame {
	t.Helper()
	got := pick(frames, fromServer, func(f *Frame) bool { return f.SYN })
	if len(got) == 0 {
		t.Error("no SYN")
		return Frame{}
	}
	return got[0]
}

// wantWrap wants segments to begin just below the wrap, and to cross it.
func wantWrap(t *testing.T, frames []Frame) {
	t.Helper()
	if len(frames) == 0 || !frames[0].SYN || frames[0].Seq != belowWrap {
		t.Fatalf("does not begin with SYN and %d", uint32(belowWrap))
	}
	if n := len(Select(frames, func(f *Frame) bool { return f.Len > 0 && f.Seq < belowWrap })); n == 0 {
		t.Error("no data after the wrap")
	}
}

// twice calls twice from the same port, which the client may do because it is
// the server that hangs up first.
func twice(t *testing.T, e *evidence) {
	for range 2 {
		callFrom(t, e, 30000+e.at.Port())
	}
}

// callFrom calls a server that hangs up first.
func callFrom(t *testing.T, e *evidence, port uint16) {
	e.program(t, 0, "nc", "-d", "-p", fmt.Sprint(port), e.at.Addr().String(), fmt.Sprint(e.at.Port()))
}

// sayGoodbye hangs up first.
func sayGoodbye(c *net.TCPConn) {
	_, _ = c.Write([]byte("goodbye"))
	_ = c.CloseWrite()
	swallow(c)
}

// silence has the server's host answer nothing on a part's port any more.
func silence(e *evidence) {
	_, _ = e.lab.Server.Try("iptables", "-w", "-I", "INPUT", "-p", "tcp", "--dport", fmt.Sprint(e.at.Port()), "-j", "DROP")
}

// swallow takes what comes, and hangs up when the client has.
func swallow(c *net.TCPConn) {
	b := make([]byte, 1024)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// talk lets netcat send what a shell says, when it says it.
func talk(shell string) func(t *testing.T, e *evidence) {
	return func(t *testing.T, e *evidence) {
		e.program(t, 0, "bash", "-c", fmt.Sprintf("(%s) | nc -N %v %d", shell, e.at.Addr(), e.at.Port()))
	}
}

// hello is what talks to a server that delays its acknowledgements, or does
// not. The first data draws a window update, which acknowledges, too: a SYN-ACK
// cannot say how large the window is.
const hello = "sleep 0.2; echo hello; sleep 0.3; echo again; sleep 1"

// wantACKAfter wants the client's second data to be acknowledged so late.
func wantACKAfter(by time.Duration) func(t *testing.T, e *evidence) {
	return func(t *testing.T, e *evidence) {
		data := pick(e.client, false, isData)
		if len(data) != 2 {
			t.Fatalf("%d segments with data, want 2", len(data))
		}
		second := func(f *Frame) bool { return f.Seq == data[1].Seq && f.Len > 0 }
		wantApart(t, "data and its ACK", data[1:], acksOf(e.client, second, true), by)
	}
}

// repeatFIN has the server hang up first, so that our endpoint comes into
// TIME-WAIT with the client, and lets the client's FIN come again: within
// TIME-WAIT, which it begins anew, and after it.
func repeatFIN(t *testing.T, e *evidence) {
	from := netip.AddrPortFrom(ClientIP4, 40003)
	callFrom(t, e, from.Port())
	frames := about(e.captures[0].Sofar(), e.at.Port())
	fins, ends := pick(frames, false, isFIN), pick(frames, true, isFIN)
	if len(fins) != 1 || len(ends) != 1 {
		t.Errorf("%d and %d FINs, want one each", len(fins), len(ends))
		return
	}
	for _, wait := range []time.Duration{300 * time.Millisecond, 1400 * time.Millisecond} {
		time.Sleep(wait)
		packet, err := Packet(from, e.at, &layers.TCP{
			Seq: fins[0].Seq, Ack: fins[0].Ack, FIN: true, ACK: true, Window: fins[0].Window,
		}, nil)
		if err == nil {
			err = e.lab.Client.Inject(ServerIP4, packet)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// flightPause is what parts flights: well below the round trip of the
// scenario, and well above what a busy machine holds a segment up.
const flightPause = 100 * time.Millisecond

// flights are the numbers of data segments at the client that came without a
// pause between them.
func flights(frames []Frame) (n []int) {
	data := pick(frames, true, isData)
	for i := range data {
		if i == 0 || data[i].At.Sub(data[i-1].At) > flightPause {
			n = append(n, 0)
		}
		n[len(n)-1]++
	}
	return n
}

// wantAfterLoss wants the flight that follows the repair of a loss to have a
// number of segments.
func wantAfterLoss(least, most int) func(t *testing.T, e *evidence) {
	return func(t *testing.T, e *evidence) {
		f := flights(e.client)
		if len(f) < 3 || f[0] != 39 || f[2] < least || f[2] > most {
			t.Errorf("flights of %v segments, want 39, the repair, %d to %d", f, least, most)
		}
	}
}
