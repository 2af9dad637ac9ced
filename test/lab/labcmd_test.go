package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// labCommandLimit is how long a `tcpmitm lab` of these tests may take.
const labCommandLimit = 60 * time.Second

// labCommand is a `tcpmitm lab` that runs. It makes namespaces of its own and
// needs none of ours.
type labCommand struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, stderr string // paths: what the program says may come after its death
	done        chan struct{}
}

func startLabCommand(t *testing.T, args ...string) *labCommand {
	t.Helper()
	folder := t.TempDir()
	l := &labCommand{t: t, out: filepath.Join(folder, "out"), stderr: filepath.Join(folder, "err"), done: make(chan struct{})}
	out, err1 := os.Create(l.out)
	stderr, err2 := os.Create(l.stderr)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	l.cmd = exec.Command(Program, append([]string{"lab"}, args...)...)
	l.cmd.Stdout, l.cmd.Stderr = out, stderr
	l.cmd.Stdin = strings.NewReader("what stands on standard input\n")
	// Without a terminal, however the test was started.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	l.cmd.WaitDelay = time.Second
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = l.cmd.Wait()
		_, _ = out.Close(), stderr.Close()
		close(l.done)
	}()
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		<-l.done
	})
	return l
}

// wait returns the exit code; -1 if a signal ended it.
func (l *labCommand) wait() int {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(labCommandLimit):
		l.t.Fatalf("the lab still runs after %v:\n%s", labCommandLimit, l.said())
	}
	return l.cmd.ProcessState.ExitCode()
}

func (l *labCommand) printed() string { return readText(l.out) }
func (l *labCommand) said() string    { return readText(l.stderr) }

func readText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// traces lists what of the lab is on the machine.
func (l *labCommand) traces() (found []string) {
	pid := l.cmd.Process.Pid
	for _, pattern := range []string{
		fmt.Sprintf("/run/netns/tcpmitm-%d-*", pid), fmt.Sprintf("/etc/netns/tcpmitm-%d-*", pid), fmt.Sprintf("/run/tcpmitm-lab/%d", pid),
	} {
		found = append(found, match(pattern)...)
	}
	for line := range strings.Lines(readText("/proc/self/mountinfo")) {
		if strings.Contains(line, fmt.Sprintf("tcpmitm-%d-", pid)) || strings.Contains(line, fmt.Sprintf("tcpmitm-lab/%d/", pid)) {
			found = append(found, "mount "+line)
		}
	}
	// Its processes carry the socket's path, as an argument or in their
	// environment.
	socket := fmt.Appendf(nil, "/run/tcpmitm-lab/%d/", pid)
	for _, file := range append(match("/proc/[0-9]*/environ"), match("/proc/[0-9]*/cmdline")...) {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, socket) {
			found = append(found, file+": "+readText(filepath.Join(filepath.Dir(file), "cmdline")))
		}
	}
	return found
}

func (l *labCommand) wantNoTraces(why string) {
	l.t.Helper()
	if found := l.traces(); len(found) > 0 {
		l.t.Errorf("%s: the lab has left:\n%s", why, strings.Join(found, "\n"))
	}
}

// runLabCommand runs one that must end with a code and leave nothing.
func runLabCommand(t *testing.T, code int, args ...string) (printed, said string) {
	t.Helper()
	l := startLabCommand(t, args...)
	if got := l.wait(); got != code {
		t.Fatalf("lab %q ended with %d, wanted %d:\n%s%s", args, got, code, l.printed(), l.said())
	}
	l.wantNoTraces("after the end")
	return l.printed(), l.said()
}

// plainLab tells that there is nothing to be tested without tcpmitm.
func plainLab(t *testing.T) bool {
	if Plain {
		t.Log("the command under test is tcpmitm's own")
	}
	return Plain
}

// TestLabCommand wants the page on standard output, and the verdict on
// standard error.
func TestLabCommand(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	for _, family := range []string{"-4", "-6"} {
		printed, said := runLabCommand(t, 0, "--", "curl", "-s", family, "http://server/")
		if printed != "Hello from a server that knows nothing of the gateway.\n" {
			t.Errorf("curl %s printed %q", family, printed)
		}
		if !strings.Contains(said, "connection 1 is over") || strings.Contains(said, "║") {
			t.Errorf("without a terminal wanted are verdicts and no ladder, not:\n%s", said)
		}
	}
	printed, said := runLabCommand(t, 7, "-q", "--", "sh", "-c", "cat; exit 7")
	if printed != "what stands on standard input\n" || said != "" {
		t.Errorf("cat printed %q, and there was said %q", printed, said)
	}
	runLabCommand(t, 128+9, "-q", "sh", "-c", "kill -9 $$")
}

// TestLabCommandNames wants the hosts' names to resolve in both families, for
// whoever asks, and the machine's own file to be as it was.
func TestLabCommandNames(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	before := readText("/etc/hosts")
	printed, _ := runLabCommand(t, 0, "-q", "--", "sh", "-c", `
		for name in client gateway server; do getent ahostsv4 $name; getent ahostsv6 $name; done
		ls /sys/class/net
		ip -o netns exec "tcpmitm-$(basename $(dirname $TCPMITM_SOCKET))-server" getent ahostsv4 client`)
	for _, want := range []string{
		"10.1.0.2 ", "fd01::2 ", "10.1.0.1 ", "fd01::1 ", "10.2.0.2 ", "fd02::2 ", "eth0\nlo\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing in:\n%s", want, printed)
		}
	}
	if n := strings.Count(printed, "10.1.0.2 "); n != 6 {
		t.Errorf("the client is named %d times, wanted 6: by `ip netns exec` as well:\n%s", n, printed)
	}
	if after := readText("/etc/hosts"); after != before {
		t.Errorf("/etc/hosts was\n%s\nand is\n%s", before, after)
	}
}

// TestLabCommandShowsAFault wants the fault on the ladder, its time to be
// true, and the picture and the capture to be there.
func TestLabCommandShowsAFault(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	folder := t.TempDir()
	svg, pcap, ladder := filepath.Join(folder, "a.svg"), filepath.Join(folder, "a.pcapng"), filepath.Join(folder, "ladder")
	config := []string{"--config", scenarioFolder + "/delay-fin.toml"}
	printed, said := runLabCommand(t, 0, append(config, "--trace", "--svg", svg, "--capture", pcap, "--",
		"curl", "-s", "-o", "/dev/null", "-w", "%{time_total}", "http://server/close")...)
	// The end of this page is the FIN, which comes 2 s late.
	if printed < "2.0" || printed > "3.5" {
		t.Errorf("curl took %s s, wanted a little more than 2", printed)
	}
	for _, want := range []string{`rule "late FIN"`, "▲ held back for 2.000 s", "║", "SYN-SENT", "closed first by server", "1 × client fin delay by 2s"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not on the ladder:\n%s", want, said)
		}
	}
	if b := readText(svg); !strings.Contains(b, "<svg") || !strings.Contains(b, "late FIN") {
		t.Errorf("the picture is %.300s", b)
	}
	if out, err := exec.Command("tshark", "-r", pcap, "-Y", "tcp.flags.fin == 1", "-T", "fields", "-e", "frame.interface_name").Output(); err != nil || strings.Count(string(out), "client") < 2 || strings.Count(string(out), "server") < 2 {
		t.Errorf("the capture shows FINs on %q, %v", out, err)
	}
	// A client that does not wait for the FIN: the lab does.
	_, said = runLabCommand(t, 0, append(config, "--trace-to", ladder, "--", "curl", "-s", "-o", "/dev/null", "http://server/")...)
	if b := readText(ladder); !strings.Contains(b, "▲ fin held 2s by rule late FIN") {
		t.Errorf("in the file of --trace-to is:\n%s", b)
	}
	if strings.Contains(said, "║") {
		t.Errorf("with --trace-to the ladder is on standard error, too:\n%s", said)
	}
}

// TestLabCommandServices wants what each service promises, through loss.
func TestLabCommandServices(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	printed, _ := runLabCommand(t, 0, "-q", "--loss", "1%", "--mtu", "1000", "--", "bash", "-c", `
		set -e
		curl -s -D headers http://server/bytes/200000 >body
		sed -n 's/^X-Content-Sha256: \(.*\)\r/\1  body/p' headers | sha256sum -c
		curl -s -T body http://server/up
		printf hello | nc -N server 7; echo
		printf hello | nc -N server 9
		nc -d server 19 | head -c 10
		rm headers body`)
	sum := sha256.Sum256([]byte(positions(200_000)))
	for _, want := range []string{"body: OK", "200000 octets, SHA-256 " + hex.EncodeToString(sum[:]), "hello\n !\"#$%&'()"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing in:\n%s", want, printed)
		}
	}
}

// positions is what /bytes/N says, as docs/lab.md describes it.
func positions(n int) string {
	var b strings.Builder
	for at := 0; at < n; at += 16 {
		fmt.Fprintf(&b, "%015x\n", at)
	}
	return b.String()[:n]
}

// TestLabCommandOwnServer wants a server of the user's own to be waited for,
// and to be ended; and to hear why, if there is none.
func TestLabCommandOwnServer(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	printed, _ := runLabCommand(t, 0, "-q", "--server", "sleep 0.3; echo from nc | nc -l -N 7000; sleep 600", "--", "nc", "-d", "server", "7000")
	if printed != "from nc\n" {
		t.Errorf("nc printed %q", printed)
	}
	if _, said := runLabCommand(t, 125, "--server", "exit 3", "--", "true"); !strings.Contains(said, `the server "exit 3" has ended before it listened: exit status 3`) {
		t.Errorf("of a server that ends is said: %s", said)
	}
}

// TestLabCommandFails wants a reason, and nothing left.
func TestLabCommandFails(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	if _, said := runLabCommand(t, 125, "--", "sh", "-c", `kill -9 $(ip netns pids "tcpmitm-$(basename $(dirname $TCPMITM_SOCKET))-gateway"); sleep 30`); !strings.Contains(said, "has ended before the command") {
		t.Errorf("of a gateway that is killed is said: %s", said)
	}
	cmd := exec.Command("setpriv", "--reuid", "65534", "--clear-groups", Program, "lab", "--", "true")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 125 || !strings.Contains(string(out), "run it with sudo") {
		t.Errorf("without root it ends with %v: %s", err, out)
	}
}

// TestLabCommandIsEnded wants nothing left after signals, a command that
// leaves something behind included; and after SIGKILL, when the next one has
// begun.
func TestLabCommandIsEnded(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	// Each leaves a process in a session of its own, and one of them does not
	// want to end.
	const busy = `trap '' HUP; setsid sleep 600 & setsid sh -c 'trap "" TERM HUP; sleep 600; sleep 600' & echo ready; exec sleep 600`
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		l := startLabCommand(t, "-q", "--", "sh", "-c", strings.Replace(busy, "trap '' HUP; ", "", 1))
		eventually(t, "the command runs", startLimit, func() (bool, string) { return strings.Contains(l.printed(), "ready"), l.said() })
		if err := l.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := l.wait(); code != 128+int(sig) {
			t.Errorf("after %v it ends with %d, wanted %d", sig, code, 128+int(sig))
		}
		l.wantNoTraces(sig.String())
	}
	l := startLabCommand(t, "-q", "--", "sh", "-c", busy)
	eventually(t, "the command runs", startLimit, func() (bool, string) { return strings.Contains(l.printed(), "ready"), l.said() })
	if len(l.traces()) == 0 {
		t.Error("a living lab leaves no traces: this test sees nothing")
	}
	_ = l.cmd.Process.Kill()
	l.wait()
	runLabCommand(t, 0, "-q", "--", "true")
	l.wantNoTraces("after SIGKILL and another start")
}

// TestLabCommandTwice wants two labs at once not to notice each other, and
// the second not to take the first for a dead one's.
func TestLabCommandTwice(t *testing.T) {
	if plainLab(t) {
		return
	}
	t.Parallel()
	first := startLabCommand(t, "-q", "--", "sh", "-c", "echo ready; sleep 3; curl -s http://server/bytes/16")
	eventually(t, "the first runs", startLimit, func() (bool, string) { return strings.Contains(first.printed(), "ready"), first.said() })
	second := startLabCommand(t, "-q", "--", "curl", "-s", "http://server/bytes/16")
	for _, l := range []*labCommand{second, first} {
		if code := l.wait(); code != 0 || !strings.HasSuffix(l.printed(), "000000000000000\n") {
			t.Errorf("one of two ends with %d and %q: %s", code, l.printed(), l.said())
		}
		l.wantNoTraces("one of two")
	}
}
