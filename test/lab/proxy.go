package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit   = 20 * time.Second // within which tcpmitm must be ready
	stopLimit    = 10 * time.Second // within which SIGTERM must have ended it
	controlLimit = 5 * time.Second  // for one question over the control socket
	answerLimit  = 16 << 20         // octets of one answer
)

// Program is the path of the program under test; Build sets it.
var Program string

// Build compiles the program under test into a folder that Unbuild removes.
// TCPMITM_BIN names a program that is tested instead.
func Build(flags ...string) error {
	if given := os.Getenv("TCPMITM_BIN"); given != "" {
		Program = given
		return nil
	}
	folder, err := os.MkdirTemp("", "tcpmitm-bin-")
	if err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, "tcpmitm")
	args := append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", path, "tcpmitm/cmd/tcpmitm")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return fmt.Errorf("build the program under test: %w\n%s", err, out)
	}
	Program = path
	return nil
}

// Unbuild removes what Build made.
func Unbuild() {
	if Program != "" && os.Getenv("TCPMITM_BIN") == "" {
		_ = os.RemoveAll(filepath.Dir(Program))
	}
}

// Proxy is a tcpmitm that runs on the gateway.
type Proxy struct {
	Socket string
	Config string // path of its configuration

	lab     *Lab
	process *Process
	before  Snapshot
	http    *http.Client
	stopped bool
	prefix  []string // in front of the program: what makes another user of it, for example
	earlier string   // what runs before this one, and their guards, have printed
}

// StartProxy runs tcpmitm on the gateway with a configuration, to which the
// lab adds the control socket's path, and returns when it is ready. When the
// test ends it is stopped as by a service manager, and must leave nothing.
func (l *Lab) StartProxy(config string, args ...string) *Proxy {
	l.t.Helper()
	p := &Proxy{lab: l, Socket: l.Path("control.sock")}
	if Plain {
		return p
	}
	p.Config = l.ConfigFile("config.toml", config, p.Socket)
	p.before = l.Gateway.Snapshot()
	p.launch(args...)
	if err := p.waitReady(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("tcpmitm said:\n%s", tail(p.Log()))
		}
		if !p.stopped {
			p.Stop(syscall.SIGTERM)
		}
	})
	return p
}

// ConfigFile writes a configuration, completed with the control socket.
func (l *Lab) ConfigFile(name, config, socket string) string {
	l.t.Helper()
	return l.File(name, fmt.Sprintf("[control]\nsocket = %q\n\n%s\n", socket, config))
}

func (p *Proxy) launch(args ...string) {
	p.lab.t.Helper()
	line := append(append(p.prefix[:len(p.prefix):len(p.prefix)], Program, "run", "--config", p.Config), args...)
	p.process = p.lab.Gateway.Start(line[0], line[1:]...)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.Socket)
	}}
	p.http = &http.Client{Transport: transport, Timeout: controlLimit}
}

// waitReady waits until the control socket answers a question, which it does
// only when the rules are in: from then on every new connection is tcpmitm's.
func (p *Proxy) waitReady() error {
	var last error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !p.process.Running() {
			return fmt.Errorf("tcpmitm ended at its start:\n%s", tail(p.Log()))
		}
		var c Counters
		if last = p.Ask("/v1/counters", &c); last == nil {
			return nil
		}
	}
	return fmt.Errorf("tcpmitm was not ready within %v: %w\n%s", startLimit, last, tail(p.Log()))
}

// Log is what tcpmitm has printed, that of killed runs and their guards too.
func (p *Proxy) Log() string {
	if p.process == nil {
		return ""
	}
	return p.earlier + p.process.Output()
}

// Stop sends a signal, waits for the end, and fails the test if tcpmitm does
// not end well or leaves anything on the gateway.
func (p *Proxy) Stop(signal syscall.Signal) {
	p.lab.t.Helper()
	if p.process == nil || p.stopped {
		return
	}
	p.stopped = true
	if err := p.process.Signal(signal); err != nil && p.process.Running() {
		p.lab.t.Errorf("signal tcpmitm: %v", err)
	}
	code, err := p.process.Wait(stopLimit)
	switch {
	case err != nil:
		p.lab.t.Errorf("tcpmitm did not stop after %v: %v", signal, err)
		p.process.Kill()
	case code != 0:
		p.lab.t.Errorf("tcpmitm ended with exit code %d after %v:\n%s", code, signal, tail(p.Log()))
	}
	for _, bad := range []string{"panic:", "DATA RACE", "fatal error:"} {
		if strings.Contains(p.Log(), bad) {
			p.lab.t.Errorf("tcpmitm printed %q:\n%s", bad, tail(p.Log()))
		}
	}
	p.WantNothingLeft()
}

// Signal sends a signal to tcpmitm.
func (p *Proxy) Signal(signal syscall.Signal) error { return p.process.Signal(signal) }

// PID is the process id of tcpmitm.
func (p *Proxy) PID() int { return p.process.cmd.Process.Pid }

// Running tells whether tcpmitm has not ended.
func (p *Proxy) Running() bool { return p.process.Running() }

// Kill ends tcpmitm with SIGKILL, so that it cannot clean up.
func (p *Proxy) Kill() {
	if p.process != nil {
		p.stopped = true
		p.process.Kill()
	}
}

// Restart starts a program again that was killed, with the same configuration.
// What it must leave in the end is the gateway before the first start.
func (p *Proxy) Restart(args ...string) {
	p.lab.t.Helper()
	if p.process == nil {
		return
	}
	p.earlier = p.Log()
	p.launch(args...)
	p.stopped = false
	if err := p.waitReady(); err != nil {
		p.lab.t.Fatal(err)
	}
}

// WantNothingLeft compares the gateway with what it was before the start.
func (p *Proxy) WantNothingLeft() {
	p.lab.t.Helper()
	if p.process == nil {
		return
	}
	if diff := p.before.Diff(p.lab.Gateway.Snapshot()); diff != "" {
		p.lab.t.Errorf("tcpmitm left the gateway changed:\n%s", diff)
	}
}

// KillAll is Kill that takes what the program has started with it, so that
// nobody at all cleans up.
func (p *Proxy) KillAll() {
	p.Kill()
	for _, field := range strings.Fields(p.lab.Gateway.Run("sh", "-c", "ip netns pids "+p.lab.Gateway.Name)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		if exe, err := os.Readlink("/proc/" + field + "/exe"); err == nil && exe == Program {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Command runs another command of tcpmitm's on the gateway, as a user would
// beside the running program.
func (p *Proxy) Command(args ...string) (string, error) {
	return p.lab.Gateway.Try(Program, args...)
}

// SS is what `tcpmitm ss` prints.
func (p *Proxy) SS(args ...string) string {
	p.lab.t.Helper()
	out, err := p.Command(append([]string{"ss", "--socket", p.Socket}, args...)...)
	if err != nil {
		p.lab.t.Fatalf("tcpmitm ss: %v\n%s", err, out)
	}
	return out
}

// Ask gets one document of the control interface.
func (p *Proxy) Ask(path string, into any) error {
	answer, err := p.http.Get("http://tcpmitm" + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, answer.Status, body)
	}
	return json.Unmarshal(body, into)
}

// Stream reads a stream of the control interface until ctx is done.
func (p *Proxy) Stream(ctx context.Context, path string, to io.Writer) error {
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tcpmitm"+path, nil)
	if err != nil {
		return err
	}
	// The time limit is for answers that have an end.
	answer, err := (&http.Client{Transport: p.http.Transport}).Do(question)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	_, err = io.Copy(to, answer.Body)
	return err
}

// Counters are the parts of the control interface's counters that tests use.
type Counters struct {
	Goroutines   int    `json:"goroutines"`
	Connections  int    `json:"connections"`
	HalfOpen     int    `json:"half_open"`
	Lingering    int    `json:"lingering"`
	Timers       int    `json:"timers"`
	Held         int    `json:"held"`
	BufferOctets int64  `json:"buffer_octets"`
	Opened       uint64 `json:"opened"`
	Edge         struct {
		Cut uint64 `json:"cut"`
	} `json:"edge"`
	Closed     uint64            `json:"closed"`
	SendErrors uint64            `json:"send_errors"`
	Drops      map[string]uint64 `json:"drops"`
}

// Counters asks tcpmitm what it holds and has counted; all is zero without it.
func (p *Proxy) Counters() Counters {
	p.lab.t.Helper()
	var c Counters
	if p.process == nil {
		return c
	}
	if err := p.Ask("/v1/counters", &c); err != nil {
		p.lab.t.Fatalf("tcpmitm's counters: %v\n%s", err, tail(p.Log()))
	}
	return c
}

// Drops is how many packets changed nothing, for one reason.
func (p *Proxy) Drops(reason string) uint64 {
	p.lab.t.Helper()
	if p.process == nil {
		return 0
	}
	n, known := p.Counters().Drops[reason]
	if !known {
		p.lab.t.Fatalf("tcpmitm has no counter for %q", reason)
	}
	return n
}
