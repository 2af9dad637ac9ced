package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpectCommandLine(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, v := range []struct {
		args []string
		says string
	}{
		{nil, "nothing is expected"},
		{[]string{"--closed-by", "me"}, "must be one of client, server, tcpmitm"},
		{[]string{"--peer-reset", "tcpmitm"}, "must be one of client, server"},
		{[]string{"--how", "x"}, "FIN, RST, timeout"},
		{[]string{"--codes", "--"}, "two letters for each leg"},
		{[]string{"--codes", "XX XX"}, "two letters for each leg"},
		{[]string{"--fired", "often"}, "=3 for exactly three"},
		{[]string{"--bytes-to-client", "much"}, "64KiB"},
		{[]string{"--handshake-within", "-1s"}, "must not be negative"},
		{[]string{"--within", "-1s", "port", "80"}, "must not be negative"},
		{[]string{"--connections", "0"}, "at least 1"},
		{[]string{"port", "x"}, "is no port"},
		{[]string{"--socket", none, "port", "80"}, "nobody answers on"},
		{[]string{"--junit", filepath.Join(none, "x"), "--socket", none, "port", "80"}, "the results cannot be written"},
	} {
		var out, err bytes.Buffer
		if code := execute(append([]string{"expect"}, v.args...), &out, &err); code != exitUnjudged || !strings.Contains(err.String(), v.says) {
			t.Errorf("expect %q: %d %s, want %d and %q", v.args, code, err.String(), exitUnjudged, v.says)
		}
	}
}

// Where nothing could be judged, JUnit's file says so, too.
func TestExpectJUnitWithoutGateway(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.xml")
	var out, err bytes.Buffer
	if code := execute([]string{"expect", "--socket", filepath.Join(dir, "none"), "--junit", file, "--fired", "1"}, &out, &err); code != exitUnjudged {
		t.Errorf("it ends with %d", code)
	}
	if b, _ := os.ReadFile(file); !strings.Contains(string(b), `errors="1"`) || !strings.Contains(string(b), "nobody answers") || strings.Contains(string(b), "<failure") {
		t.Errorf("the file is %s", b)
	}
}

func TestExpectationOfFlags(t *testing.T) {
	given := func(names ...string) func(string) bool {
		return func(name string) bool { return strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ") }
	}
	f := &expectFlags{rule: "late goodbye", fired: "=2", connections: 1}
	x, err := f.understand(given("fired"), []string{"port", "80"})
	if err != nil || x.filter != `rule "late goodbye" and (port 80)` || x.simple || x.wanted.Connections != 0 || x.wanted.FiredBy != "rule late goodbye (port 80)" {
		t.Errorf("%+v, %v", x, err)
	}
	f = &expectFlags{rule: "late goodbye", fired: "2", connections: 3, closedBy: "SERVER"}
	if x, err = f.understand(given("fired", "closed-by", "connections"), nil); err != nil || !x.simple || x.wanted.Connections != 3 || x.wanted.Conditions[0].Name != "closed by server" {
		t.Errorf("%+v, %v", x, err)
	}
	// A rule alone: it must have taken a connection.
	f = &expectFlags{rule: `say "no"`, connections: 1}
	if x, err = f.understand(given(), nil); err != nil || x.wanted.Connections != 1 || x.filter != `rule 'say "no"'` {
		t.Errorf("%+v, %v", x, err)
	}
}
