// Package deb holds the tests of the Debian package and of what make install
// puts in place.
package deb

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// run runs a command and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = "../.."
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build makes the package and returns its path.
func build(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	run(t, "make", "deb", "OUT="+folder)
	found, err := filepath.Glob(filepath.Join(folder, "tcpmitm_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("make deb made %v, want one package (%v)", found, err)
	}
	return found[0]
}

func TestPackage(t *testing.T) {
	file := build(t)
	t.Run("fields", func(t *testing.T) { wantFields(t, file) })
	t.Run("contents", func(t *testing.T) { wantContents(t, file) })
	t.Run("life", func(t *testing.T) { wantLife(t, file) })
}

func wantFields(t *testing.T, file string) {
	fields := run(t, "dpkg-deb", "--field", file)
	for _, want := range []string{"Package: tcpmitm\n", "Section: net\n", "Depends: iptables (>= 1.8)", "Installed-Size: ", "Maintainer: "} {
		if !strings.Contains(fields, want) {
			t.Errorf("the package lacks %q:\n%s", want, fields)
		}
	}
	if strings.Contains(fields, "@") && regexp.MustCompile(`@[A-Z]+@`).MatchString(fields) {
		t.Errorf("a field was not filled in:\n%s", fields)
	}
	if got := run(t, "dpkg-deb", "--ctrl-tarfile", file); got == "" {
		t.Error("the package has no control files")
	}
}

func wantContents(t *testing.T, file string) {
	list := run(t, "dpkg-deb", "--contents", file)
	for _, want := range []string{
		"/usr/sbin/tcpmitm", "/etc/tcpmitm/config.toml", "/usr/lib/systemd/system/tcpmitm.service",
		"/usr/share/man/man8/tcpmitm.8.gz", "/usr/share/man/man8/tcpmitm-doctor.8.gz", "/usr/share/man/man5/tcpmitm.toml.5.gz",
		"/usr/share/bash-completion/completions/tcpmitm", "/usr/share/zsh/vendor-completions/_tcpmitm",
		"/usr/share/fish/vendor_completions.d/tcpmitm.fish", "/usr/share/doc/tcpmitm/copyright", "/usr/share/doc/tcpmitm/changelog.gz",
		"/usr/share/doc/tcpmitm/examples/grafana.json",
	} {
		if !strings.Contains(list, " ."+want+"\n") {
			t.Errorf("the package lacks %s", want)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		switch {
		case !strings.Contains(line, " root/root "):
			t.Errorf("not root's: %s", line)
		case strings.Contains(line, "/usr/local"), strings.HasPrefix(line, "-rwxrwx"), strings.HasPrefix(line, "drwxrwx"):
			t.Errorf("in a wrong place, or writable by others: %s", line)
		}
	}
}

// dpkg runs dpkg on a root of its own, in which nothing else is installed.
func dpkg(t *testing.T, root string, args ...string) {
	t.Helper()
	run(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-depends", "--force-not-root", "--force-bad-path", "--force-confold"}, args...)...)
}

// wantLife installs the package, changes the configuration, installs it again,
// removes and purges it.
func wantLife(t *testing.T, file string) {
	if os.Geteuid() != 0 {
		t.Fatal("dpkg --root needs root (sudo make package-test)")
	}
	root := t.TempDir()
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, empty := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", empty), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		return err == nil
	}
	dpkg(t, root, "--install", file)
	program := filepath.Join(root, "usr/sbin/tcpmitm")
	if out := run(t, program, "version"); !strings.HasPrefix(out, "tcpmitm ") {
		t.Errorf("the installed program says %q", out)
	}
	config := filepath.Join(root, "etc/tcpmitm/config.toml")
	if out := run(t, program, "check", "--config", config); !strings.Contains(out, "ok") {
		t.Errorf("the installed configuration is refused: %s", out)
	}
	if enabled, _ := filepath.Glob(filepath.Join(root, "etc/systemd/system/*/tcpmitm.service")); len(enabled) > 0 {
		t.Errorf("the installation has enabled the service: %v", enabled)
	}
	wantUnit(t, root)

	const mine = "# mine\n"
	if err := os.WriteFile(config, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg(t, root, "--install", file)
	dpkg(t, root, "--remove", "tcpmitm")
	if text, err := os.ReadFile(config); err != nil || string(text) != mine {
		t.Errorf("after an upgrade and a removal the configuration is %q (%v), want it as it was changed", text, err)
	}
	if there("usr/sbin/tcpmitm") || there("usr/share/man/man8/tcpmitm.8.gz") {
		t.Error("the removal has left files")
	}
	dpkg(t, root, "--purge", "tcpmitm")
	if there("etc/tcpmitm") {
		t.Error("the purge has left the configuration")
	}
}

// wantUnit wants every program that the unit names to be where it says.
func wantUnit(t *testing.T, root string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/tcpmitm.service"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^Exec[A-Za-z]+=-?(\S*tcpmitm)\b`).FindAllStringSubmatch(string(text), -1)
	if len(named) < 3 {
		t.Errorf("the unit runs tcpmitm %d times, want its check, its run and its reload:\n%s", len(named), text)
	}
	for _, m := range named {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("the unit runs %s, which is not there", m[1])
		}
	}
}

// TestManual wants a page for each command, and every key of the configuration.
func TestManual(t *testing.T) {
	folder := t.TempDir()
	run(t, "go", "run", "-tags", "manpages", "./cmd/tcpmitm", "man", folder, "config.toml")
	page, err := os.ReadFile(filepath.Join(folder, "tcpmitm.toml.5"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	keys, _, _ := strings.Cut(string(config), "# ------")
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)\s*=`).FindAllStringSubmatch(keys, -1) {
		n++
		if !strings.Contains(string(page), `\fB`+m[1]+`\fP = `) {
			t.Errorf("tcpmitm.toml(5) lacks the key %s", m[1])
		}
	}
	if n < 15 || !strings.Contains(string(page), ".SH RULES") {
		t.Errorf("config.toml has %d keys, or tcpmitm.toml(5) no rules: the test does not read what it should", n)
	}
	top, err := os.ReadFile(filepath.Join(folder, "tcpmitm.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`tcpmitm\\?-[a-z\\-]+`).FindAllString(string(top), -1) {
		name := strings.ReplaceAll(m, `\`, "")
		if _, err := os.Stat(filepath.Join(folder, name+".8")); err != nil {
			t.Errorf("tcpmitm(8) refers to %s(8), which is not there", name)
		}
	}
}

func TestCompletion(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tcpmitm")
	run(t, "go", "build", "-o", program, "./cmd/tcpmitm")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := run(t, program, "completion", shell); !strings.Contains(out, "tcpmitm") {
			t.Errorf("no completion for %s", shell)
		}
	}
	if out := run(t, program, "__complete", "firewall", ""); !strings.Contains(out, "apply") || !strings.Contains(out, "plan") {
		t.Errorf("firewall completes to %q", out)
	}
}
