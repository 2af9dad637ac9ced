package expect

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"tcpmitm/trace"
)

func ms(v float64) *float64 { return &v }

// orderly is a connection that the server closed first, by FIN.
func orderly() *Facts {
	return &Facts{Conn: 7, Verdict: trace.Verdict{
		Seconds: 1.5, ToServer: 10, ToClient: 5000, ClosedBy: "server", How: "FIN",
		Client: trace.LegVerdict{Code: "--", Handshake: ms(20), PeerRetransmits: 1},
		Server: trace.LegVerdict{Code: "--", FirstByte: ms(300), Retransmits: 2},
	}}
}

// reset is one that the client reset after data had followed a FIN.
func reset() *Facts {
	return &Facts{Conn: 8, Verdict: trace.Verdict{
		ClosedBy: "client", How: "RST",
		Client: trace.LegVerdict{Code: "CD", DataAfterFIN: 3}, Server: trace.LegVerdict{Code: "CE"},
	}}
}

func TestConditions(t *testing.T) {
	for _, v := range []struct {
		c             Condition
		name          string
		ordered, open answer
		seen          string
		reset         answer
	}{
		{ClosedBy("server"), "closed by server", yes, later, "closed by server", no},
		{ClosedBy("client"), "closed by client", no, later, "closed by server", yes},
		{How("FIN"), "ended by FIN", yes, later, "ended by FIN", no},
		{PeerReset("client"), "reset by client", no, later, "codes -- --", yes},
		{PeerReset("server"), "reset by server", no, later, "codes -- --", no},
		{Codes("-- --"), "codes -- --", yes, later, "codes -- --", no},
		{Codes("C? ??"), "codes C? ??", no, later, "codes -- --", yes},
		{NoDataAfterFIN(), "no data after FIN", yes, later, "0 segments with data after FIN", no},
		{HandshakeWithin(20 * time.Millisecond), "handshake within 20ms", yes, yes, "handshake after 20ms", no},
		{HandshakeWithin(19 * time.Millisecond), "handshake within 19ms", no, later, "handshake after 20ms", no},
		{FirstByteWithin(time.Second), "first byte within 1s", yes, yes, "first byte after 300ms", no},
		{LastsAtLeast(time.Second), "lasts at least 1s", yes, yes, "lasted 1.500 s", no},
		{LastsAtMost(time.Second), "lasts at most 1s", no, later, "lasted 1.500 s", yes},
		{RetransmissionsAtLeast(3), "at least 3 retransmissions", yes, yes, "3 retransmissions", no},
		{RetransmissionsAtMost(3), "at most 3 retransmissions", yes, later, "3 retransmissions", yes},
		{RetransmissionsAtMost(2), "at most 2 retransmissions", no, later, "3 retransmissions", yes},
		{BytesToClient(5000), "at least 5000 octets to the client", yes, yes, "5000 octets to the client", no},
		{BytesToServer(11), "at least 11 octets to the server", no, later, "10 octets to the server", no},
	} {
		f := orderly()
		if got := v.c.judge(f); got != v.open {
			t.Errorf("%s of an open connection: %d, want %d", v.name, got, v.open)
		}
		f.Over = true
		if got := v.c.judge(f); got != v.ordered || v.c.Name != v.name || v.c.seen(f) != v.seen {
			t.Errorf("%s: %d, want %d; %q, seen %q, want %q", v.name, got, v.ordered, v.c.Name, v.c.seen(f), v.seen)
		}
		r := reset()
		r.Over = true
		if got := v.c.judge(r); got != v.reset {
			t.Errorf("%s of the other: %d, want %d", v.name, got, v.reset)
		}
	}
}

func wantState(t *testing.T, why string, j *Judge, want State, results string) {
	t.Helper()
	list, ok := j.Results()
	var b strings.Builder
	for _, r := range list {
		if !r.OK {
			b.WriteString("not ")
		}
		b.WriteString(r.Name + ": " + r.Seen + "\n")
	}
	if s := j.State(); s != want || !strings.Contains(b.String(), results) {
		t.Errorf("%s: state %d, want %d, results\n%swant among them %q", why, s, want, b.String(), results)
	}
	if j.State() == Met && !ok || j.State() == Failed && ok {
		t.Errorf("%s: state %d, and ok is %v", why, j.State(), ok)
	}
}

func TestJudgeOfConnections(t *testing.T) {
	j := NewJudge(Wanted{Connections: 2, Conditions: []Condition{ClosedBy("server"), BytesToClient(5000)}})
	wantState(t, "nothing seen", j, Waiting, "not closed by server: no connection")
	j.Ended(orderly())
	wantState(t, "one", j, Waiting, "not all of it on 2 connections: 1 of 1 that ended and 0 that are open")
	j.Open([]Facts{*orderly()})
	wantState(t, "one is open", j, Waiting, "closed by server; open")
	j.Open(nil)
	j.Ended(reset())
	wantState(t, "the other kind", j, Waiting, "closed by client; closed by server")
	j.Ended(orderly())
	wantState(t, "two", j, Met, "closed by server (2 connections); closed by client")

	// Each condition on one of its own is not enough.
	j = NewJudge(Wanted{Connections: 1, Conditions: []Condition{ClosedBy("server"), How("RST")}})
	j.Ended(orderly())
	j.Ended(reset())
	wantState(t, "not the same one", j, Waiting, "not all of it on 1 connections: 0 of 2")

	j = NewJudge(Wanted{Connections: 1, All: true, Conditions: []Condition{ClosedBy("server")}})
	j.Ended(orderly())
	wantState(t, "all so far", j, Met, "")
	j.Ended(reset())
	wantState(t, "one is bad", j, Failed, "1 not so, the first of them connection 8: closed by client")
}

func TestJudgeOfFaults(t *testing.T) {
	count := func(text string) *Count {
		c, err := ParseCount(text)
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	for _, v := range []struct {
		text   string
		fired  uint64
		want   State
		wantOK bool
	}{
		{"2", 1, Waiting, false}, {"2", 2, Met, true}, {"2", 9, Met, true},
		{"=2", 1, Waiting, false}, {"=2", 2, Waiting, true}, {"=2", 3, Failed, false},
		{"0", 0, Waiting, true}, {"0", 1, Failed, false},
		{"2-3", 1, Waiting, false}, {"2-3", 3, Waiting, true}, {"2-3", 4, Failed, false},
	} {
		j := NewJudge(Wanted{Fired: count(v.text), FiredBy: "rule x"})
		j.Fired(v.fired)
		if _, ok := j.Results(); j.State() != v.want || ok != v.wantOK {
			t.Errorf("%s, fired %d: %d and %v, want %d and %v", v.text, v.fired, j.State(), ok, v.want, v.wantOK)
		}
	}
	for _, bad := range []string{"", "x", "=", "=x", "-1", "3-2", "1-", "1.5", "99999999999"} {
		if c, err := ParseCount(bad); !errors.Is(err, ErrCount) {
			t.Errorf("%q is %v, %v", bad, c, err)
		}
	}
}

// However many different things are seen, the text has an end.
func TestSightsAreBounded(t *testing.T) {
	j := NewJudge(Wanted{Connections: 1, Conditions: []Condition{BytesToClient(1 << 40)}})
	for i := range 1000 {
		f := orderly()
		f.ToClient = uint64(i)
		j.Ended(f)
	}
	list, _ := j.Results()
	if n := strings.Count(list[0].Seen, ";"); n != maxWords-1 {
		t.Errorf("%d sights are listed, want %d", n+1, maxWords)
	}
}

func TestJUnit(t *testing.T) {
	began := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	results := []Result{{"closed by server", true, "closed by server"}, {`rule "a<b" fired`, false, "fired 0 times"}}
	var b bytes.Buffer
	if err := WriteJUnit(&b, "tcpmitm expect", began, 1500*time.Millisecond, results, nil); err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="1.500">
  <testsuite name="tcpmitm expect" tests="2" failures="1" errors="0" time="1.500" timestamp="2030-01-02T03:04:05">
    <testcase name="closed by server" classname="tcpmitm expect" time="1.500">
      <system-out>closed by server</system-out>
    </testcase>
    <testcase name="rule &#34;a&lt;b&#34; fired" classname="tcpmitm expect" time="1.500">
      <failure message="seen: fired 0 times">wanted: rule &#34;a&lt;b&#34; fired&#xA;seen: fired 0 times</failure>
      <system-out>fired 0 times</system-out>
    </testcase>
  </testsuite>
</testsuites>
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := WriteJUnit(&b, "tcpmitm expect", began, 0, nil, errors.New("nobody answers\x00")); err != nil {
		t.Fatal(err)
	}
	var any struct {
		Errors int `xml:"errors,attr"`
	}
	if err := xml.Unmarshal(b.Bytes(), &any); err != nil || any.Errors != 1 {
		t.Errorf("%v, %d errors:\n%s", err, any.Errors, b.String())
	}
}
