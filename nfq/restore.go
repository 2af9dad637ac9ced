package nfq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// toolLimit is how long iptables-save and iptables-restore may take; on a
	// host that is busy, or has many rules, they do take seconds.
	toolLimit = (lockWait + 20) * time.Second
	// maxSaved bounds what is read of a tool, in octets; a large Kubernetes
	// node has some MiB of rules.
	maxSaved = 32 << 20
)

// saveRules returns the rules in force, in the network namespace of the
// calling thread, as the program's -save prints them.
func saveRules(program string) (string, error) {
	out, complaint, err := runTool(program+"-save", "")
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w: there is no program %s-save: apt-get install iptables", ErrNoIptables, program)
	}
	if err != nil {
		return "", fmt.Errorf("listing the rules of %s: %w: %s", program, err, strings.TrimSpace(complaint))
	}
	return out, nil
}

// restoreRules adds and deletes rules, as the program's -restore reads them:
// all of a table at once, or none.
func restoreRules(program, text string) error {
	_, complaint, err := runTool(program+"-restore", text, "--noflush", "-w", strconv.Itoa(lockWait))
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: there is no program %s-restore: apt-get install iptables", ErrNoIptables, program)
	}
	if err != nil {
		return iptablesError("giving rules to "+program, fmt.Errorf("%w: %s", err, blamed(complaint, text)))
	}
	return nil
}

// blameLine is how every kind of iptables-restore names a line.
var blameLine = regexp.MustCompile(`line:? (\d+)`)

// blamed is a complaint with the line that it is about, by which the remedy
// is found.
func blamed(complaint, text string) string {
	complaint = strings.Join(strings.Fields(complaint), " ")
	m := blameLine.FindStringSubmatch(complaint)
	if m == nil {
		return complaint
	}
	n, err := strconv.Atoi(m[1])
	lines := strings.Split(text, "\n")
	if err != nil || n < 1 || n > len(lines) {
		return complaint
	}
	return complaint + ": " + lines[n-1]
}

func runTool(program, input string, args ...string) (out, complaint string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolLimit)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin = strings.NewReader(input)
	var o, e limitedBuffer
	c.Stdout, c.Stderr = &o, &e
	err = c.Run()
	return o.String(), e.String(), err
}

// adding are the lines that put a table's rules in: chains are filled before
// anybody is led there.
func (t *table) adding() string {
	var b strings.Builder
	b.WriteString("*" + t.name + "\n")
	for _, c := range t.chains {
		b.WriteString(":" + c.name + " - [0:0]\n")
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			b.WriteString(saved(c.name, r) + "\n")
		}
	}
	for _, j := range t.jumps {
		line := strings.TrimPrefix(saved(j.hook, j.rule()), "-A "+j.hook+" ")
		b.WriteString("-I " + j.hook + " 1 " + line + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// removing are the lines that take all rules and chains of ours out of the
// rules in force; "" if there are none. First nothing leads to us any more,
// in any table, and that in an order in which nothing is led to a queue when
// what we send is already stopped; then the chains go, which takes the kernel
// a while.
func removing(rules string) string {
	jumps, chains := map[string][]string{}, map[string][]string{}
	var tables []string
	table := ""
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch f := strings.Fields(line); {
		case strings.HasPrefix(line, "*"):
			table = line
			tables = append(tables, table)
		case strings.HasPrefix(line, ":"+chainPrefix):
			chains[table] = append(chains[table], f[0][1:])
		case len(f) > 3 && f[0] == "-A" && !strings.HasPrefix(f[1], chainPrefix) && strings.HasPrefix(f[len(f)-1], chainPrefix):
			jumps[table] = append(jumps[table], strings.TrimPrefix(line, "-A "))
		}
	}
	tables = inOrder(tables)
	var b strings.Builder
	each := func(command string, of []string) {
		for _, what := range of {
			b.WriteString(command + " " + what + "\n")
		}
	}
	for _, t := range tables {
		if len(jumps[t]) > 0 {
			b.WriteString(t + "\n")
			each("-D", jumps[t])
			b.WriteString("COMMIT\n")
		}
	}
	for _, t := range tables {
		if len(chains[t]) > 0 {
			b.WriteString(t + "\n")
			each("-F", chains[t]) // they lead to each other
			each("-X", chains[t])
			b.WriteString("COMMIT\n")
		}
	}
	return b.String()
}

// inOrder puts the table first that is first on a packet's way, and the
// filter, which lets through what we send, last.
func inOrder(tables []string) []string {
	var out []string
	for _, first := range []bool{true, false} {
		for _, name := range tables {
			if (name == "*raw") == first && name != "*filter" {
				out = append(out, name)
			}
		}
	}
	for _, name := range tables {
		if name == "*filter" {
			out = append(out, name)
		}
	}
	return out
}

// limitedBuffer keeps the first maxSaved octets.
type limitedBuffer struct{ bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := maxSaved - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
