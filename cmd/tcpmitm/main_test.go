package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandLine(t *testing.T) {
	good, bad := file(t, "[[rule]]\nname = \"x\"\n"), file(t, "[intercept]\nprots = [80]\nmode = 1\n")
	none := filepath.Join(t.TempDir(), "none")
	for _, v := range []struct {
		args           []string
		code           int
		stdout, stderr string // what they must contain; "" is nothing at all
	}{
		{[]string{"check", "--config", good}, exitOK, good + ": ok, 1 rules\n", ""},
		{[]string{"check", "--config", bad}, exitFailed, "", bad + `:2:1: unknown key "prots" in [intercept]: did you mean "ports"?` + "\n" + bad + ":3:1: "},
		{[]string{"check", "--config", none}, exitFailed, "", "tcpmitm: cannot read the configuration"},
		{[]string{"check"}, exitUsage, "", "--config"},
		{[]string{"run", "--config", bad}, exitFailed, "", bad + ":2:1: "},
		{[]string{"run", "--log-level", "loud"}, exitUsage, "", "debug, info, warn or error"},
		{[]string{"run", "--log-format", "xml"}, exitUsage, "", "text or json"},
		{[]string{"ss", "--socket", none}, exitFailed, "", "nobody answers on " + none},
		{[]string{"version"}, exitOK, "tcpmitm " + version, ""},
		{[]string{}, exitOK, "Available Commands", ""},
		{[]string{"--help"}, exitOK, "Available Commands", ""},
		{[]string{"rnu"}, exitUsage, "", `unknown command "rnu"`},
		{[]string{"rule", "lst"}, exitUsage, "", `unknown command "lst"`},
		{[]string{"rule"}, exitOK, "Available Commands", ""},
		{[]string{"rule", "list", "--socket", none}, exitFailed, "", "nobody answers on " + none},
		{[]string{"firewall", "install"}, exitUsage, "", `unknown command "install"`},
		{[]string{"check", "file"}, exitUsage, "", `takes no argument such as "file"`},
		{[]string{"ss", "--jsn"}, exitUsage, "", "unknown flag: --jsn"},
		{[]string{"firewall", "plan", "--config", good}, exitOK, "-j NFQUEUE", ""},
		{[]string{"firewall", "apply", "--config", good}, exitFailed, "", "when_down = \"block\""},
		{[]string{"firewall", "apply", "--config", bad}, exitFailed, "", bad + ":2:1: "},
		{[]string{"doctor", "--config", bad}, exitFailed, "", bad + ":2:1: "},
		{[]string{"doctor", "--fixx"}, exitUsage, "", "unknown flag: --fixx"},
		{[]string{"firewall", "show", "--config", good}, exitOK, "-j NFQUEUE", ""},
		{[]string{"firewall", "show", "--config", bad}, exitFailed, "", bad + ":2:1: "},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(v.args, &stdout, &stderr)
		if code != v.code {
			t.Errorf("%v: exit code %d, want %d", v.args, code, v.code)
		}
		for _, o := range []struct{ name, got, want string }{{"stdout", stdout.String(), v.stdout}, {"stderr", stderr.String(), v.stderr}} {
			if !strings.Contains(o.got, o.want) || o.want == "" && o.got != "" {
				t.Errorf("%v: %s is %q, want %q in it", v.args, o.name, o.got, o.want)
			}
		}
		if code == exitUsage && strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: more than one line: %s", v.args, stderr.String())
		}
	}
}

// The guard is not for people.
func TestGuardIsHidden(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if execute([]string{"firewall", "--help"}, &stdout, &stderr) != exitOK || strings.Contains(stdout.String(), "guard") {
		t.Errorf("help shows the guard:\n%s", stdout.String())
	}
	root := newRoot()
	c, rest, err := root.Find(guardArgs)
	if err != nil || len(rest) > 0 || c.Name() != "guard" {
		t.Errorf("the guard's arguments %v do not name it: %v, %v", guardArgs, rest, err)
	}
}
