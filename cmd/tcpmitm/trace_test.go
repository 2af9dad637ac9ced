package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcpmitm/trace"
)

func TestFilterOfACommandLine(t *testing.T) {
	for _, v := range []struct {
		args []string
		conn uint64
		want string
	}{
		{nil, 0, ""},
		{nil, 7, "conn 7"},
		{[]string{"host", "10.0.0.1", "and", "port", "80"}, 0, "host 10.0.0.1 and port 80"},
		{[]string{"host 10.0.0.1 and port 80"}, 0, "host 10.0.0.1 and port 80"},
		{[]string{"rule", "late goodbye"}, 0, `rule "late goodbye"`},
		{[]string{`rule "late goodbye"`}, 0, `rule "late goodbye"`},
		{[]string{"port", "80", "or", "faults"}, 7, "conn 7 and (port 80 or faults)"},
	} {
		got, err := filterOf(v.args, v.conn)
		if err != nil || got != v.want {
			t.Errorf("%q becomes %q, %v; want %q", v.args, got, err, v.want)
		}
	}
}

func TestTraceCommandLine(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, v := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"port", "x"}, exitUsage, `port "x" is no port`},
		{[]string{"--svg", none, "--json"}, exitUsage, "leave --json and --hex out"},
		{[]string{"--count", "-1"}, exitUsage, "must not be negative"},
		{[]string{"--for", "soon"}, exitUsage, "--for"},
		{[]string{"--socket", none}, exitFailed, "nobody answers on"},
	} {
		var out, err bytes.Buffer
		if code := execute(append([]string{"trace"}, v.args...), &out, &err); code != v.code || !strings.Contains(err.String(), v.says) {
			t.Errorf("trace %q: %d %s, want %d and %q", v.args, code, err.String(), v.code, v.says)
		}
	}
}

// The picture is of the first connection that begins, whatever else is told.
func TestPictureOfOneConnection(t *testing.T) {
	syn := func(conn uint64, flags ...string) *trace.Event {
		return &trace.Event{Type: trace.TypeSegment, Conn: conn, Leg: "client", Dir: "in", Segment: &trace.Segment{Flags: flags}}
	}
	end := func(conn uint64) *trace.Event {
		return &trace.Event{Type: trace.TypeClosed, Conn: conn, Verdict: &trace.Verdict{}}
	}
	name := filepath.Join(t.TempDir(), "a.svg")
	f := &traceFlags{svg: name}
	var said bytes.Buffer
	v, err := f.viewer(nil, &said)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range []*trace.Event{syn(1, "ACK"), syn(2, "SYN"), syn(3, "SYN"), end(1), syn(2, "ACK"), end(3), end(2)} {
		done, err := v.show(e, nil)
		if err != nil || done != (i == 6) {
			t.Errorf("event %d: done %v, %v", i, done, err)
		}
	}
	if err := v.end(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(name); !strings.Contains(string(b), "connection 2:") {
		t.Errorf("the picture is %.200s", b)
	}
	if !strings.Contains(said.String(), "connection 2 is drawn") {
		t.Errorf("it is said: %s", said.String())
	}
}

// Where there is nothing to draw, there is no empty file, and a remedy.
func TestNoPicture(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.svg")
	v, err := (&traceFlags{svg: name}).viewer(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.end(); err == nil || !strings.Contains(err.Error(), "--conn") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("an empty file is left")
	}
	// What was there stays.
	if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err = (&traceFlags{svg: name}).viewer(nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.end(); err == nil {
		t.Error("no picture is no error")
	}
	if b, _ := os.ReadFile(name); string(b) != "old" {
		t.Errorf("an older file holds now %q", b)
	}
	if _, err := (&traceFlags{svg: filepath.Join(name, "x")}).viewer(nil, nil); err == nil {
		t.Error("a file that cannot be made is no error")
	}
}
