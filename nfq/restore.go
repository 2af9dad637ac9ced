package nfq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
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
// anybody is led there. What is there of ours already goes in the same step,
// so that no packet finds neither.
func (t *table) adding(old leftovers) string {
	var b strings.Builder
	b.WriteString("*" + t.name + "\n")
	each(&b, "-D", old.jumps)
	each(&b, "-F", old.chains) // they lead to each other
	for _, c := range old.chains {
		if !t.has(c) {
			b.WriteString("-X " + c + "\n")
		}
	}
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

// each writes one command for each of several things.
func each(b *strings.Builder, command string, of []string) {
	for _, what := range of {
		b.WriteString(command + " " + what + "\n")
	}
}

// leftovers are the rules that lead to chains of ours, and the chains, in one
// table of the rules in force.
type leftovers struct {
	table         string // with its asterisk
	jumps, chains []string
}

// findOurs finds what is ours in the rules in force, by table, in an order in
// which nothing is led to a queue when what we send is already stopped.
func findOurs(rules string) []leftovers {
	var list []leftovers
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "*") {
			list = append(list, leftovers{table: line})
			continue
		}
		if len(list) == 0 {
			continue
		}
		t := &list[len(list)-1]
		switch f := strings.Fields(line); {
		case strings.HasPrefix(line, ":"+chainPrefix):
			t.chains = append(t.chains, f[0][1:])
		case len(f) > 3 && f[0] == "-A" && !strings.HasPrefix(f[1], chainPrefix) && strings.HasPrefix(f[len(f)-1], chainPrefix):
			t.jumps = append(t.jumps, strings.TrimPrefix(line, "-A "))
		}
	}
	return inOrder(list)
}

// removing are the lines that take all rules and chains of ours out of the
// rules in force; "" if there are none.
func removing(rules string) string { return removal(findOurs(rules)) }

// removal lets nothing lead to us any more, in any table; then the chains go,
// which takes the kernel a while.
func removal(list []leftovers) string {
	var b strings.Builder
	for _, t := range list {
		if len(t.jumps) > 0 {
			b.WriteString(t.table + "\n")
			each(&b, "-D", t.jumps)
			b.WriteString("COMMIT\n")
		}
	}
	for _, t := range list {
		if len(t.chains) > 0 {
			b.WriteString(t.table + "\n")
			each(&b, "-F", t.chains) // they lead to each other
			each(&b, "-X", t.chains)
			b.WriteString("COMMIT\n")
		}
	}
	return b.String()
}

// replacing are the lines that put tables in, each in one step with the end of
// what is ours in it already, and then remove what is ours in other tables.
func replacing(rules string, tables []*table) string {
	list := findOurs(rules)
	var b strings.Builder
	for _, t := range tables {
		var old leftovers
		if i := slices.IndexFunc(list, func(o leftovers) bool { return o.table == "*"+t.name }); i >= 0 {
			old = list[i]
			list = slices.Delete(list, i, i+1)
		}
		b.WriteString(t.adding(old))
	}
	return b.String() + removal(list)
}

// inOrder puts the table first that is first on a packet's way, and the
// filter, which lets through what we send, last.
func inOrder(list []leftovers) []leftovers {
	place := func(t leftovers) int {
		switch t.table {
		case "*raw":
			return 0
		case "*filter":
			return 2
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b leftovers) int { return place(a) - place(b) })
	return list
}

// limitedBuffer keeps the first maxSaved octets.
type limitedBuffer struct{ bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := maxSaved - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
