package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	idleDialers   = 8                      // of one holder
	idleHello     = 64                     // octets that each connection carries once
	idleFailures  = 50                     // of one holder; after so many, no more are opened
	idleTimeLimit = 3 * time.Minute        // for opening all
	idleSettle    = 800 * time.Millisecond // before memory is read
	memoryFloor   = 2 << 30                // octets that the machine must have left
	// spareFiles is what a process has open beside its connections.
	spareFiles = 500
	maxHolders = 64
)

// roleHold is the first argument of a process that holds idle connections.
const roleHold = "hold"

// idleResult is the memory at some number of idle connections.
type idleResult struct {
	connections int
	resident    int64 // of the contender, in octets
	machine     int64 // what the machine has less than without connections
	turn        turnResult
	note        string
}

// runIdle opens connections up to each of the counts in turn, has each carry
// a few octets both ways, reads the memory, and has them carry some more.
func runIdle(s *site, counts []int, exchanges int) (results []idleResult, err error) {
	h := &holders{site: s}
	defer h.close()
	free, err := freeMemory()
	if err != nil {
		return nil, err
	}
	for _, count := range append([]int{0}, counts...) {
		note := ""
		if limit := maxSocketed(); s.sockets && count > limit {
			note = fmt.Sprintf("%d idle connections instead of %d: a process may open only %d files here", limit, count, openFiles())
			count = limit
		}
		if problem := h.open(count); problem != "" {
			note = problem
		}
		if count > 0 {
			time.Sleep(idleSettle)
		}
		r := idleResult{connections: h.count, note: note}
		now, err := freeMemory()
		if err != nil {
			return results, err
		}
		r.machine = free - now
		if s.pid() != 0 {
			if r.resident, err = memory(s.pid()); err != nil {
				return results, err
			}
		}
		if r.connections > 0 {
			if r.turn, err = runTurns(h, exchanges); err != nil {
				return results, err
			}
		}
		results = append(results, r)
		if note != "" {
			break
		}
	}
	return results, nil
}

// openFiles is how many files a process may open.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(limit.Cur)
}

// maxSocketed is how many connections a proxy can have that is a client and a
// server of the kernel's: each takes two descriptors, and one in four of them
// two more for a pipe, if the octets are spliced.
func maxSocketed() int { return min(120000, (openFiles()-spareFiles)*2/5) }

// raiseFiles allows this process and its children as many files as the system
// permits.
func raiseFiles() {
	limit := syscall.Rlimit{Cur: openFilesLimit, Max: openFilesLimit}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// perProcess is how many connections one process of ours holds.
func perProcess() int { return max(1, openFiles()-spareFiles) * 3 / 4 }

// holders are processes on the client that keep connections open.
type holders struct {
	site  *site
	list  []*holder
	count int
}

type holder struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	count int
}

// open opens connections until there are n, and says why if it cannot.
func (h *holders) open(n int) (note string) {
	for i := 0; h.count < n && i < maxHolders; i++ {
		if i == len(h.list) {
			one, err := h.site.newHolder()
			if err != nil {
				return err.Error()
			}
			h.list = append(h.list, one)
		}
		one := h.list[i]
		want := min(perProcess(), one.count+n-h.count)
		if want <= one.count {
			continue
		}
		got, problem, err := one.ask(want)
		if err != nil {
			return "a holder of connections has ended: " + err.Error()
		}
		h.count += got - one.count
		one.count = got
		if problem != "" {
			return fmt.Sprintf("only %d idle connections: %s", h.count, problem)
		}
	}
	return ""
}

func (s *site) newHolder() (*holder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	one := &holder{cmd: exec.Command("ip", "netns", "exec", s.lab.client.name, self, roleHold, s.target())}
	if one.in, err = one.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := one.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	one.out = bufio.NewReader(out)
	return one, one.cmd.Start()
}

// ask has the process hold n connections. It answers with how many it has,
// and why it has no more.
func (one *holder) ask(n int) (got int, problem string, err error) {
	if _, err := fmt.Fprintln(one.in, n); err != nil {
		return 0, "", err
	}
	line, err := one.out.ReadString('\n')
	if err != nil {
		return 0, "", err
	}
	number, problem, _ := strings.Cut(strings.TrimSpace(line), " ")
	got, err = strconv.Atoi(number)
	return got, problem, err
}

// close ends the processes, and their connections with RSTs.
func (h *holders) close() {
	for _, one := range h.list {
		_ = one.in.Close()
		_ = one.cmd.Process.Kill()
		_ = one.cmd.Wait()
	}
}

// hold is the process: where to connect to.
func hold(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: hold ADDRESS")
	}
	k := &keeper{to: args[0]}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if n, ok := asTurn(lines.Text()); ok {
			problem := ""
			if err := k.turn(n); err != nil {
				problem = strings.ReplaceAll(err.Error(), "\n", ", ")
			}
			fmt.Println(problem)
			continue
		}
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		problem := k.open(n)
		fmt.Println(len(k.conns), strings.ReplaceAll(problem, "\n", ", "))
	}
	return nil
}

// keeper keeps connections open.
type keeper struct {
	to    string
	mu    sync.Mutex
	conns []raw
}

func (k *keeper) open(n int) (problem string) {
	var failures, next atomic.Int64
	next.Store(int64(len(k.conns)))
	var first atomic.Pointer[error]
	var short atomic.Bool
	deadline := time.Now().Add(idleTimeLimit)
	var workers sync.WaitGroup
	for range idleDialers {
		workers.Go(func() {
			for failures.Load() < idleFailures && !short.Load() && time.Now().Before(deadline) {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if i%1000 == 0 && runsLow() {
					short.Store(true)
				}
				if err := k.add(i); err != nil {
					failures.Add(1)
					first.CompareAndSwap(nil, &err)
					next.Add(-1)
				}
			}
		})
	}
	workers.Wait()
	switch {
	case len(k.conns) >= n:
		return ""
	case short.Load():
		return "the machine's memory ran low"
	case failures.Load() >= idleFailures:
		return (*first.Load()).Error()
	default:
		return fmt.Sprintf("no more within %v", idleTimeLimit)
	}
}

// add opens one connection. Each source address meets each port, so that there
// are tuples enough.
func (k *keeper) add(i int) error {
	r, err := dialRaw(idleSources[i%len(idleSources)], k.to, idlePort+i/len(idleSources)%idlePorts)
	if err != nil {
		return err
	}
	if err := r.exchange(make([]byte, idleHello)); err != nil {
		r.close()
		return fmt.Errorf("a connection carries nothing: %w", err)
	}
	k.mu.Lock()
	k.conns = append(k.conns, r)
	k.mu.Unlock()
	return nil
}

func runsLow() bool {
	free, err := freeMemory()
	return err == nil && free < memoryFloor
}
