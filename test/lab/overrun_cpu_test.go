package lab

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestOverrunStarved takes the processor away from tcpmitm under load: it has
// what busy loops, three on each core, leave to the lowest of priorities.
// Transfers crawl, and go on afterwards.
func TestOverrunStarved(t *testing.T) {
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	const starved = 5 * time.Second
	var during, before time.Duration
	ended, reset := underLoad(t, l, 2, 64<<20, func() {
		if Plain {
			return
		}
		pid := strconv.Itoa(p.process.cmd.Process.Pid)
		l.Gateway.Run("chrt", "--all-tasks", "--idle", "--pid", "0", pid)
		before = processorTime(t, p)
		var loops []*Process
		for range 3 * runtime.NumCPU() {
			loops = append(loops, l.Gateway.Start("sh", "-c", "while :; do :; done"))
		}
		time.Sleep(starved)
		during = processorTime(t, p)
		for _, loop := range loops {
			loop.Kill()
		}
		l.Gateway.Run("chrt", "--all-tasks", "--other", "--pid", "0", pid)
	})
	t.Logf("%d transfers ended well, %d were reset; tcpmitm had the processor for %v of %v", ended, reset, during-before, starved)
	if Plain {
		return
	}
	if ended == 0 {
		t.Error("no transfer has lived through it")
	}
	if during-before > starved/4 {
		t.Errorf("tcpmitm had the processor for %v of %v: it was not starved", during-before, starved)
	}
	wantNoConnections(t, p, 30*time.Second)
}

// processorTime is how long the program has been running on processors.
func processorTime(t *testing.T, p *Proxy) time.Duration {
	t.Helper()
	stat := p.lab.Gateway.Run("cat", "/proc/"+strconv.Itoa(p.process.cmd.Process.Pid)+"/stat")
	// The name is in parentheses, and may hold anything.
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const perSecond = 100 // USER_HZ
	var ticks int
	for _, field := range f[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatalf("%q: %v", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / perSecond
}
