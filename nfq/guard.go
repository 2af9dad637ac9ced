package nfq

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// guardDone is the line that tells the guard that there is nothing left
	// to clean.
	guardDone = "done"
	// guardLineMax bounds what the guard reads, in octets: it is told one word.
	guardLineMax = 64
	// guardWait bounds the wait for the guard to end when it is told to.
	guardWait = 5 * time.Second
)

// Guard is a small process that outlives this one: if this one ends without
// a word, killed or crashed, the guard removes the firewall's rules, which
// would otherwise lead packets to queues that nobody reads.
type Guard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// StartGuard starts the own executable with args, upon which it has to call
// RunGuard with its standard input. The guard runs in the network namespace
// of the calling thread, and in a session of its own, so that what ends this
// process from a terminal does not end the guard.
func StartGuard(args ...string) (*Guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe to the guard: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin = r
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("starting the guard of the firewall's rules: %w", err)
	}
	return &Guard{cmd: cmd, pipe: w}, nil
}

// Done tells the guard that the rules are gone, and waits for its end.
func (g *Guard) Done() error {
	_, werr := io.WriteString(g.pipe, guardDone+"\n")
	if err := g.pipe.Close(); werr == nil {
		werr = err
	}
	if werr != nil {
		// It has ended before; the reason is in its exit status.
		werr = fmt.Errorf("telling the guard of the firewall's rules to end: %w", werr)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("guard of the firewall's rules: %w", err)
		}
		return werr
	case <-time.After(guardWait):
		return fmt.Errorf("guard of the firewall's rules (process %d) does not end", g.cmd.Process.Pid)
	}
}

// RunGuard is what the guard does: it reads from r until it is told that
// there is nothing to clean, or until r ends without that, and then cleans.
func RunGuard(r io.Reader, cleanup func() error) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	line, _ := bufio.NewReader(io.LimitReader(r, guardLineMax)).ReadString('\n')
	if strings.TrimSpace(line) == guardDone {
		return nil
	}
	return cleanup()
}
