package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, in which the kernel counts processor time for
// programs on all of Go's Linux architectures.
const ticksPerSecond = 100

// usage is processor time, in seconds: of the whole machine, and of a process.
type usage struct{ machine, process float64 }

func (u usage) minus(v usage) usage { return usage{u.machine - v.machine, u.process - v.process} }

// usageNow reads the counters; pid 0 stands for no process.
func usageNow(pid int) (usage, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	machine, err := parseMachine(string(stat))
	if err != nil || pid == 0 {
		return usage{machine: machine}, err
	}
	if stat, err = os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil {
		return usage{}, err
	}
	process, err := parseProcess(string(stat))
	return usage{machine, process}, err
}

// parseMachine adds up what the processors have been busy with: user, nice,
// system, and both kinds of interrupts. Idle and stolen time are left out.
func parseMachine(stat string) (float64, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return ticks(fields[1], fields[2], fields[3], fields[6], fields[7])
}

// parseProcess adds user and system time of all threads.
func parseProcess(stat string) (float64, error) {
	// The name may contain blanks and parentheses; the last one ends it.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat is %q", stat)
	}
	return ticks(fields[11], fields[12])
}

func ticks(fields ...string) (float64, error) {
	sum := 0.0
	for _, f := range fields {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += float64(n)
	}
	return sum / ticksPerSecond, nil
}

// memory is the resident set of a process, in octets.
func memory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return kilobytes(string(status), "VmRSS:")
}

// freeMemory is what the machine has left, in octets.
func freeMemory() (int64, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return kilobytes(string(info), "MemAvailable:")
}

func kilobytes(text, key string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s", key)
}

// machineText says what the figures were taken on.
func machineText() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%d cores, Linux %s, %s, load %s at the start", runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version(), first)
}
