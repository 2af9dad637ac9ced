package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/control"
)

const ruleFile = "[[rule]]\nname = \"late goodbye\"\nmatch = { probability = 0.5 }\n"

// withRules is a gateway that has nothing but a rulebook on a file.
func withRules(t *testing.T, path string, log *bytes.Buffer) *gateway {
	t.Helper()
	conf, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{conf: conf, log: slog.New(slog.NewTextHandler(log, nil))}
	g.rulebook = control.NewRulebook(conf, &g.rules, time.Now(), func() (*config.Config, error) { return config.Load(path) }, g.log)
	return g
}

func TestRuleCommands(t *testing.T) {
	path := file(t, ruleFile)
	g := withRules(t, path, new(bytes.Buffer))
	socket := filepath.Join(t.TempDir(), "s")
	bound, err := control.Bind(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	l, err := bound.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Serve(l, &control.Source{Rulebook: g.rulebook}).Close()

	const name = "late goodbye"
	for _, v := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"list"}, exitOK, "late goodbye  splice  on ", ""},
		{[]string{"list", "--json"}, exitOK, `"name": "late goodbye"`, ""},
		{[]string{"disable", name}, exitOK, "rule \"late goodbye\" is disabled\n", ""},
		{[]string{"list"}, exitOK, "late goodbye  splice  off ", ""},
		{[]string{"disable", name, "--live", "--json"}, exitOK, `"stopped": true`, ""},
		{[]string{"enable", name, "--live"}, exitOK, "rule \"late goodbye\" is enabled\n", ""},
		{[]string{"set", name, "probability=0.2", "action=pass"}, exitOK, "rule \"late goodbye\" is changed for new connections\n", ""},
		{[]string{"list"}, exitOK, "late goodbye  pass ", ""},
		{[]string{"set", name, "--unset", "probability", "--unset", "action"}, exitOK, "is changed", ""},
		{[]string{"set", name, "probability=1.5"}, exitFailed, "", `rule set: probability in match of rule "late goodbye": 1.5 is out of range`},
		{[]string{"reload"}, exitOK, "rules in force: 1\n", `warning: rule "late goodbye" was changed while tcpmitm ran`},
		{[]string{"reload", "--json"}, exitOK, `"undone": []`, ""},
		{[]string{"enable", "late godbye"}, exitFailed, "", `no rule is called "late godbye": did you mean "late goodbye"?`},
		{[]string{"enable"}, exitUsage, "", "name the rule: tcpmitm rule enable NAME"},
		{[]string{"enable", "late", "goodbye"}, exitUsage, "", "a name with blanks needs quotes"},
		{[]string{"set", name}, exitUsage, "", "say what to change"},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(append(append([]string{"rule"}, v.args...), "--socket", socket), &stdout, &stderr)
		if code != v.code || !strings.Contains(stdout.String(), v.stdout) || !strings.Contains(stderr.String(), v.stderr) ||
			v.stdout == "" && stdout.Len() > 0 || v.stderr == "" && stderr.Len() > 0 {
			t.Errorf("rule %q: exit code %d, stdout %q, stderr %q; want %d, %q, %q", v.args, code, stdout.String(), stderr.String(), v.code, v.stdout, v.stderr)
		}
	}
}

// A hangup reads the rules again; a wrong file changes nothing and is no end.
func TestHangup(t *testing.T) {
	var log bytes.Buffer
	path := file(t, ruleFile)
	g := withRules(t, path, &log)
	hangups, signals, done := make(chan os.Signal), make(chan os.Signal), make(chan error)
	go func() { done <- g.wait(signals, hangups) }()
	write := func(text string) {
		t.Helper()
		// At once, for the second hangup of the last time may still be read.
		if err := os.Rename(file(t, text), path); err != nil {
			t.Fatal(err)
		}
		hangups <- syscall.SIGHUP
		hangups <- syscall.SIGHUP // is taken when the first has been dealt with
	}
	write(ruleFile + "[[rule]]\nname = \"two\"\n")
	set := g.rules.Load()
	if set.Len() != 2 {
		t.Errorf("%d rules after the hangup, want 2", set.Len())
	}
	write("[[rule]]\nnaem = \"two\"\n")
	signals <- syscall.SIGTERM
	if err := <-done; err != nil {
		t.Errorf("wait: %v", err)
	}
	if g.rules.Load().Len() != 2 {
		t.Error("a wrong file has changed the rules")
	}
	if !strings.Contains(log.String(), path+`:2:1: unknown key \"naem\"`) {
		t.Errorf("the log does not say what is wrong:\n%s", log.String())
	}
}
