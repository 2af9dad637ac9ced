package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"tcpmitm/config"
	"tcpmitm/control"
	"tcpmitm/labnet"
	"tcpmitm/labnet/services"
	"tcpmitm/nfq"
)

// How long the parts of a lab may take.
const (
	labStartLimit  = 20 * time.Second // the gateway, and a server of the user's own, until they are ready
	labStopLimit   = 5 * time.Second  // the gateway, until it has stopped
	labTermLimit   = 5 * time.Second  // a command that was told to end, until it is killed
	labLook        = 20 * time.Millisecond
	labEventsLimit = 3 * time.Second // until the last events have come
)

// labRun is a lab while it is there.
type labRun struct {
	flags  *labFlags
	conf   *config.Config
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	signals *labSignals
	net     *labnet.Net
	socket  string
	client  *control.Client
	builtin *services.Server
	server  *labChild // of the user's own, or nil
	gateway *labChild
	view    *labView
	capture *labCapture
}

// runLab makes a lab, runs the command, and removes the lab.
func runLab(f *labFlags, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	r := &labRun{flags: f, stdin: stdin, stdout: stdout, stderr: stderr}
	if r.conf, err = load(f.file, stderr); err != nil {
		var said saidError
		if errors.As(err, &said) {
			return codeError{exitLab, nil}
		}
		return codeError{exitLab, err}
	}
	path, argv, err := f.commandOf(args)
	if err != nil {
		return err
	}
	options := labnet.Options{MTU: f.mtu, Offload: f.noWire, Loss: f.lost}
	if err := errors.Join(labnet.Check(options), nfq.CheckPrivilege()); err != nil {
		return codeError{exitLab, err}
	}
	r.signals = catchSignals()
	defer r.signals.stop()
	code, err := r.through(options, path, argv)
	if err != nil && code == 0 {
		code = exitLab
	}
	if code == 0 {
		return nil
	}
	return codeError{code, err}
}

// through goes through the life of a lab. Whatever happens, at its end nothing
// of the lab is left.
func (r *labRun) through(options labnet.Options, path string, argv []string) (code int, err error) {
	if r.net, err = labnet.Make(options); err != nil {
		return exitLab, err
	}
	defer func() {
		if e := r.down(); e != nil {
			code, err = exitLab, errors.Join(err, e)
		}
	}()
	r.socket = filepath.Join(r.net.Folder, "control.sock")
	r.client = control.NewClient(r.socket)
	for _, step := range []func() error{r.startServer, r.startGateway, r.attach} {
		if err := step(); err != nil {
			return r.failure(err)
		}
	}
	if r.flags.shell {
		r.greet()
	}
	command, err := r.start(r.net.Client, syscall.SIGHUP, path, argv, func(c *exec.Cmd) {
		c.Stdin, c.Stdout, c.Stderr = r.stdin, r.stdout, r.stderr
		c.Env = append(os.Environ(), socketVariable+"="+r.socket)
	})
	if err != nil {
		return exitLab, err
	}
	code, err = r.await(command)
	r.finish()
	return code, err
}

// failure tells the exit code for an error in the making of a lab.
func (r *labRun) failure(err error) (int, error) {
	var stopped signalError
	if errors.As(err, &stopped) {
		return exitSignal + int(stopped.signal), nil
	}
	return exitLab, err
}

// labChild is a process inside the lab.
type labChild struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid when done is closed
}

// start starts a program on a host; orphaned is the signal that it gets if we
// die first.
func (r *labRun) start(host *labnet.Host, orphaned syscall.Signal, path string, argv []string, adjust func(*exec.Cmd)) (*labChild, error) {
	args := append([]string{"lab-enter", host.Name, r.net.Folder, fmt.Sprint(int(orphaned)), path}, argv...)
	c := &labChild{cmd: exec.Command("/proc/self/exe", args...), done: make(chan struct{})}
	c.cmd.Args[0] = os.Args[0]
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: orphaned}
	c.cmd.WaitDelay = time.Second
	adjust(c.cmd)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// startServer starts the services, or the server that the user named, and
// waits until somebody can be connected with.
func (r *labRun) startServer() (err error) {
	if r.flags.server == "" {
		if err = r.net.Server.In(func() (err error) {
			r.builtin, err = services.Listen()
			return err
		}); err != nil {
			return err
		}
		r.builtin.Serve()
		return nil
	}
	r.server, err = r.start(r.net.Server, syscall.SIGKILL, "/bin/sh", []string{"sh", "-c", r.flags.server}, func(c *exec.Cmd) {
		// Its output must not be taken for that of the command.
		c.Stdout, c.Stderr = r.stderr, r.stderr
		c.SysProcAttr.Setpgid = true
	})
	if err != nil {
		return err
	}
	err = r.until(r.server, r.net.Server.Listening)
	switch {
	case errors.Is(err, errChildEnded):
		return fmt.Errorf("the server %q has ended before it listened: %w", r.flags.server, r.server.err)
	case errors.Is(err, errTooLate):
		return fmt.Errorf("the server %q does not listen on any TCP port after %v", r.flags.server, labStartLimit)
	}
	return err
}

// startGateway starts tcpmitm on the gateway and waits until it is ready.
func (r *labRun) startGateway() (err error) {
	argv := []string{os.Args[0], "lab-gateway", "--socket", r.socket, "--log-level", r.flags.level}
	if r.flags.file != "" {
		argv = append(argv, "--config", r.flags.file)
	}
	r.gateway, err = r.start(r.net.Gateway, syscall.SIGKILL, "/proc/self/exe", argv, func(c *exec.Cmd) {
		c.Stderr = r.stderr
		c.SysProcAttr.Setpgid = true
	})
	if err != nil {
		return err
	}
	err = r.until(r.gateway, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), labStartLimit)
		defer cancel()
		_, err := r.client.Counters(ctx)
		return err == nil
	})
	switch {
	case errors.Is(err, errChildEnded):
		return errors.New("tcpmitm could not be started on the gateway of the lab; the reason stands above")
	case errors.Is(err, errTooLate):
		return fmt.Errorf("tcpmitm on the gateway of the lab is not ready after %v", labStartLimit)
	}
	return err
}

var (
	errChildEnded = errors.New("ended")
	errTooLate    = errors.New("too late")
)

// until waits until a child is ready.
func (r *labRun) until(c *labChild, ready func() bool) error {
	for end := time.Now().Add(labStartLimit); !ready(); {
		select {
		case <-c.done:
			return errChildEnded
		case s := <-r.signals.c:
			return signalError{s.(syscall.Signal)}
		case <-time.After(labLook):
		}
		if time.Now().After(end) {
			return errTooLate
		}
	}
	return nil
}

// greet says what can be done in the shell, and from outside.
func (r *labRun) greet() {
	six := ""
	if r.net.IPv6 {
		six = " and " + labnet.Server6.Addr().String()
	}
	fmt.Fprintf(r.stderr, "a shell on the client; server is %v%s, for example: curl http://server/\n"+
		"`tcpmitm ss`, `tcpmitm rule` and `tcpmitm trace` ask this lab's gateway; `exit` removes the lab\n"+
		"from elsewhere: ip netns exec %s COMMAND, and the same with %s and %s\n",
		labnet.Server4.Addr(), six, r.net.Client.Name, r.net.Gateway.Name, r.net.Server.Name)
}

// await waits for the end of the command and returns its exit code.
func (r *labRun) await(command *labChild) (int, error) {
	var kill <-chan time.Time
	var failed error
	gateway, server := r.gateway.done, (chan struct{})(nil)
	if r.server != nil {
		server = r.server.done
	}
	end := func(s syscall.Signal) {
		_ = command.cmd.Process.Signal(s)
		if kill == nil {
			kill = time.After(labTermLimit)
		}
	}
	for {
		select {
		case <-command.done:
			if failed != nil {
				return exitLab, failed
			}
			return exitCodeOf(command)
		case s := <-r.signals.c:
			// What was typed on the terminal has reached the command, too; it
			// may have its own mind about that.
			if !typed(s) {
				end(s.(syscall.Signal))
			}
		case <-gateway:
			gateway = nil
			failed = errors.New("tcpmitm on the gateway of the lab has ended before the command; the reason stands above")
			end(syscall.SIGTERM)
		case <-server:
			server = nil
			fmt.Fprintf(r.stderr, "tcpmitm: the server %q has ended: %v\n", r.flags.server, r.server.cmd.ProcessState)
		case <-kill:
			_ = command.cmd.Process.Kill()
		}
	}
}

// exitCodeOf is what a shell would say of how a process ended.
func exitCodeOf(c *labChild) (int, error) {
	state := c.cmd.ProcessState
	if state == nil {
		return exitLab, c.err
	}
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return exitSignal + int(w.Signal()), nil
	}
	return state.ExitCode(), nil
}

// finish waits for connections to end, stops the gateway, and shows what has
// come meanwhile.
func (r *labRun) finish() {
	left := r.lingered()
	if left > 0 && !r.flags.quiet {
		fmt.Fprintf(r.stderr, "connections that have not ended within %v: %d; --linger waits longer\n", r.flags.linger, left)
	}
	r.stopGateway()
	r.capture.end()
	r.view.end()
}

// lingered waits until connections have ended, and returns how many have not.
func (r *labRun) lingered() int {
	if r.view == nil && r.capture == nil {
		return 0 // nobody looks
	}
	over := time.After(r.flags.linger)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), labStopLimit)
		list, err := r.client.Connections(ctx, "", shownByDefault, false)
		cancel()
		if err != nil || len(list.List) == 0 {
			return 0
		}
		select {
		case <-over:
			return len(list.List)
		case <-r.signals.c:
			return 0
		case <-time.After(labLook):
		}
	}
}

// stopGateway ends tcpmitm on the gateway.
func (r *labRun) stopGateway() {
	if r.gateway == nil {
		return
	}
	_ = r.gateway.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.gateway.done:
	case <-time.After(labStopLimit):
		_ = r.gateway.cmd.Process.Kill()
		<-r.gateway.done
	}
}

// down removes everything.
func (r *labRun) down() error {
	r.stopGateway()
	r.capture.end()
	r.view.close()
	var errs []error
	if r.builtin != nil {
		errs = append(errs, r.builtin.Close())
	}
	return errors.Join(append(errs, r.net.Close())...)
}

// attach lets the gateway tell us what happens, before anything does.
func (r *labRun) attach() (err error) {
	if r.capture, err = newLabCapture(r); err != nil {
		return err
	}
	r.view, err = newLabView(r)
	return err
}

// ruleHint says why no rule may have met.
func (r *labRun) ruleHint() string {
	client, server := labnet.Client4.Addr().String(), labnet.Server4.Addr().String()
	if r.net.IPv6 {
		client += " or " + labnet.Client6.Addr().String()
		server += " or " + labnet.Server6.Addr().String()
	}
	return fmt.Sprintf("the client is %s, the server %s", client, server)
}
