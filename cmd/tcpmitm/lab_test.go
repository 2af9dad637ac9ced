package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/labnet"
	"tcpmitm/rules"
	"tcpmitm/trace"
)

func TestLabCommandLine(t *testing.T) {
	folder := t.TempDir()
	wrong := filepath.Join(folder, "wrong.toml")
	if err := os.WriteFile(wrong, []byte("[intercept]\nport = 80\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(folder, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "wants a command"},
		{"--shell -- true", exitUsage, "leave one of them out"},
		{"--trace --no-trace -- true", exitUsage, "contradict"},
		{"--trace --trace-to x -- true", exitUsage, "leave --trace and --no-trace out"},
		{"--capture - -- true", exitUsage, "wants a file"},
		{"--linger -1s -- true", exitUsage, "--linger must not be negative"},
		{"--mtu 575 -- true", exitUsage, "from 576 to 65535"},
		{"--mtu 65536 -- true", exitUsage, "from 576 to 65535"},
		{"--loss 100% -- true", exitUsage, "write for example 1%"},
		{"--loss -0.1 -- true", exitUsage, "write for example 1%"},
		{"--loss NaN -- true", exitUsage, "write for example 1%"},
		{"--loss much -- true", exitUsage, "write for example 1%"},
		{"--log-level loud -- true", exitUsage, "must be debug, info, warn or error"},
		{"--nonsense -- true", exitUsage, "unknown flag"},
		{"--config " + wrong + " -- true", exitLab, "wrong.toml:2"},
		{"--config " + folder + "/none -- true", exitLab, "none"},
		{"-- tcpmitm-has-no-such-program --shell", exitNotFound, "there is no program"},
		{"-- " + folder + "/none", exitNotFound, "there is no program"},
		{"-- " + plain, exitCannotRun, "permission denied"},
	} {
		var out, err bytes.Buffer
		code := execute(append([]string{"lab"}, strings.Fields(v.args)...), &out, &err)
		if code != v.code || !strings.Contains(err.String(), v.says) || out.Len() > 0 {
			t.Errorf("lab %s: %d %q, want %d and %q", v.args, code, err.String(), v.code, v.says)
		}
	}
}

func TestShareOf(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "0": 0, "1%": 0.01, "0.5%": 0.005, "0.25": 0.25} {
		if got, err := shareOf(text); got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

// What is after the command's name is the command's, flags or not.
func TestLabLeavesTheCommandsFlagsAlone(t *testing.T) {
	for _, args := range [][]string{{"--linger", "1s", "--", "curl", "--svg", "x"}, {"--linger", "1s", "curl", "--svg", "x"}} {
		c := newLab()
		if err := c.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if got := c.Flags().Args(); !slices.Equal(got, []string{"curl", "--svg", "x"}) {
			t.Errorf("%q: the command is %q", args, got)
		}
		if svg, _ := c.Flags().GetString("svg"); svg != "" {
			t.Errorf("%q: --svg is %q", args, svg)
		}
	}
}

func TestShellOfALab(t *testing.T) {
	t.Setenv("SHELL", "")
	f := labFlags{shell: true}
	if path, argv, err := f.commandOf(nil); path != "/bin/sh" || len(argv) != 1 || err != nil {
		t.Errorf("got %q %q %v", path, argv, err)
	}
	t.Setenv("SHELL", "/bin/false")
	if path, _, err := f.commandOf(nil); path != "/bin/false" || err != nil {
		t.Errorf("got %q %v", path, err)
	}
}

// The lab has its own devices and its own socket; what rules are to meet stays
// as it is.
func TestConfigurationIsAdjustedToTheLab(t *testing.T) {
	c := config.Default()
	c.Control.Metrics = "127.0.0.1:9380"
	c.Intercept.Mode, c.Intercept.WhenDown, c.Intercept.Drain = config.Local, config.Block, time.Minute
	adjustToLab(c, "/x")
	if c.Control.Socket != "/x" || c.Control.Metrics != "" {
		t.Errorf("control is %+v", c.Control)
	}
	in := &c.Intercept
	if in.Mode != config.Gateway || in.WhenDown != config.Bypass || in.Drain != 0 {
		t.Errorf("intercept is %+v", in)
	}
	if !slices.Equal(in.ClientSide, []string{"lan0"}) {
		t.Errorf("without a hint the clients are behind %q", in.ClientSide)
	}
	c = config.Default()
	c.Intercept.ClientSide = []string{"br-lan"}
	if adjustToLab(c, "/x"); !slices.Equal(c.Intercept.ClientSide, []string{"lan0"}) {
		t.Errorf("another gateway's devices become %q", c.Intercept.ClientSide)
	}
	c = config.Default()
	c.Intercept.Ports = []rules.PortRange{{First: 80, Last: 80}}
	if adjustToLab(c, "/x"); len(c.Intercept.ClientSide) != 0 || len(c.Intercept.Ports) != 1 {
		t.Errorf("with ports given, intercept is %+v", c.Intercept)
	}
}

// Inside a lab the other commands find its gateway by themselves.
func TestSocketFromTheEnvironment(t *testing.T) {
	none := filepath.Join(t.TempDir(), "sock")
	t.Setenv(socketVariable, none)
	var out, err bytes.Buffer
	if code := execute([]string{"ss"}, &out, &err); code != exitFailed || !strings.Contains(err.String(), none) {
		t.Errorf("ss ends with %d and %q", code, err.String())
	}
	if c := config.Default(); c.Control.Socket == none {
		t.Error("the default itself has changed")
	}
}

func TestSummaryOfALab(t *testing.T) {
	end := func(conn uint64, rule string, fired ...trace.Fired) *trace.Event {
		return &trace.Event{
			Type: trace.TypeClosed, Conn: conn, Rule: rule, Verdict: &trace.Verdict{Fired: fired},
			Client: netip.MustParseAddrPort("10.1.0.2:1"), Server: netip.MustParseAddrPort("10.2.0.2:80"),
		}
	}
	delay := trace.Fired{Index: 0, Text: "client fin delay by 2s", Count: 2}
	policy := trace.Fired{Index: 0, Stream: true, Text: "to client throttle", Count: 5}
	view := func(live bool, events ...*trace.Event) string {
		conf := config.Default()
		v := &labView{run: &labRun{conf: conf, flags: &labFlags{}, net: &labnet.Net{}}, live: live, fired: map[firing]uint64{}}
		for _, e := range events {
			v.count(e)
		}
		var out strings.Builder
		v.summary(&out)
		return out.String()
	}
	if got := view(false); !strings.Contains(got, "no connection went through the gateway") || !strings.Contains(got, "10.1.0.2") {
		t.Errorf("of nothing is said %q", got)
	}
	if got := view(true, end(1, "a", delay)); got != "" {
		t.Errorf("what was said is said again: %q", got)
	}
	got := view(false, end(1, "a", delay, policy), end(2, ""), end(3, "a", delay))
	for _, want := range []string{
		"connection 1 is over", "connection 3 is over", "3 connections, 2 by a rule",
		"▲ 4 × client fin delay by 2s, rule \"a\"\n  ▲ 5 × to client throttle, rule \"a\"",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	var many []*trace.Event
	for i := range maxVerdicts + 3 {
		many = append(many, end(uint64(i+1), ""))
	}
	if got := view(false, many...); !strings.Contains(got, "... and 3 more connections") || strings.Contains(got, "connection 21 is over") {
		t.Errorf("of many connections is said:\n%s", got)
	}
}

// docs/lab.md has a command for each scenario, and no others.
func TestLabDocumentHasEachScenario(t *testing.T) {
	text, err := os.ReadFile("../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../scenarios/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	_, table, _ := strings.Cut(string(text), "| NAME |")
	rows := map[string]bool{}
	for line := range strings.Lines(table) {
		if name, command, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | `"); ok && strings.Contains(command, "server") {
			rows[name] = true
		}
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".toml")
		if !rows[name] {
			t.Errorf("docs/lab.md has no command for %s", f)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("docs/lab.md has a command for %s, which is not there", name)
	}
}
