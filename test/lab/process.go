package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ProcessLimit is how long a started program may run before it is killed. Who
// needs more says so before the first lab is made.
var ProcessLimit = 5 * time.Minute

// Process is a program that runs in a namespace.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output string // path of the file that has both streams
	done   chan struct{}
	err    error // how it ended; valid when done is closed
	cancel context.CancelFunc
	once   sync.Once
}

// Start starts a program that is killed when the lab closes.
func (n *Namespace) Start(name string, args ...string) *Process {
	n.lab.t.Helper()
	out, err := os.CreateTemp(n.lab.scratch, "output-")
	if err != nil {
		n.lab.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), ProcessLimit)
	p := &Process{name: name, output: out.Name(), done: make(chan struct{}), cancel: cancel}
	p.cmd = n.command(ctx, name, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		n.lab.t.Fatalf("start %s in %s: %v", name, n.Name, err)
	}
	n.lab.mu.Lock()
	n.lab.processes = append(n.lab.processes, p)
	n.lab.mu.Unlock()
	go func() {
		p.err = p.cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	return p
}

// Output returns what the program has printed so far, both streams together.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return fmt.Sprintf("(no output: %v)", err)
	}
	return string(b)
}

// Running tells whether the program has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the program alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits for the end of the program and returns its exit code; -1 means
// that a signal ended it. The error says that it did not end in time.
func (p *Process) Wait(limit time.Duration) (int, error) {
	select {
	case <-p.done:
	case <-time.After(limit):
		return 0, fmt.Errorf("%s still runs after %v:\n%s", p.name, limit, tail(p.Output()))
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return 0, nil
	case errors.As(p.err, &exit):
		return exit.ExitCode(), nil
	default:
		return 0, fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// Kill ends the program and whatever it started with SIGKILL, and waits.
func (p *Process) Kill() {
	p.once.Do(func() {
		if p.Running() {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		}
		select {
		case <-p.done:
		case <-time.After(hostLimit):
		}
		p.cancel()
	})
}

// Forget removes what is kept of a program that has ended, for labs that start
// very many.
func (n *Namespace) Forget(p *Process) {
	n.lab.mu.Lock()
	defer n.lab.mu.Unlock()
	n.lab.processes = slices.DeleteFunc(n.lab.processes, func(other *Process) bool { return other == p })
	_ = os.Remove(p.output)
}

// WaitOutput waits until the program has printed text.
func (p *Process) WaitOutput(text string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; {
		if strings.Contains(p.Output(), text) {
			return nil
		}
		if !p.Running() {
			return fmt.Errorf("%s ended without saying %q: %v\n%s", p.name, text, p.err, tail(p.Output()))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not say %q within %v:\n%s", p.name, text, limit, tail(p.Output()))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
