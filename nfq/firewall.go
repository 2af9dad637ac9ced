package nfq

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// lockWait is how long iptables waits for another iptables to finish, in
// seconds.
const lockWait = 10

// Firewall installs and removes the rules of an Intercept.
type Firewall struct{ in Intercept }

// NewFirewall checks what is to be intercepted. It changes nothing.
func NewFirewall(in Intercept) (*Firewall, error) {
	in = in.withDefaults()
	if err := in.check(); err != nil {
		return nil, err
	}
	if !in.covers(false) && !in.covers(true) {
		return nil, errors.New("servers and clients have no address family in common: nothing would be intercepted")
	}
	return &Firewall{in: in}, nil
}

// ShardOf tells which queue, counted from 0, the packets of a client's port
// come to; see Intercept.ShardOf.
func (f *Firewall) ShardOf(clientPort uint16) int { return f.in.ShardOf(clientPort) }

// QueueNumber is the NFQUEUE number of a shard.
func (f *Firewall) QueueNumber(shard int) uint16 { return f.in.QueueBase + uint16(shard) }

// Hinted tells whether packets to servers can be told from those of servers.
// Where they cannot, every packet of a server is queued twice.
func (f *Firewall) Hinted() bool { return f.in.hinted() }

// Show returns what Install would add, as iptables-save prints it.
func (f *Firewall) Show() []string {
	var lines []string
	for _, v6 := range []bool{false, true} {
		if !f.in.covers(v6) {
			continue
		}
		lines = append(lines, "# "+familyName(v6))
		for _, t := range f.in.tables(v6, inputTable) {
			lines = append(lines, t.save()...)
		}
	}
	return lines
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func (t *table) save() []string {
	lines := []string{"*" + t.name}
	for _, c := range t.chains {
		lines = append(lines, ":"+c.name+" - [0:0]")
	}
	for _, j := range t.jumps {
		lines = append(lines, saved(j.hook, j.rule()))
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			lines = append(lines, saved(c.name, r))
		}
	}
	return append(lines, "COMMIT")
}

func saved(chain string, r rule) string {
	args := r.args()
	for i, a := range args {
		if strings.ContainsAny(a, "&>@= ") {
			args[i] = `"` + a + `"`
		}
	}
	return "-A " + chain + " " + strings.Join(args, " ")
}

// Install puts the rules in, in the network namespace of the calling thread,
// in the place of what an earlier run may have left: each table changes in one
// step, and what was to be held back is so all the time. If a rule cannot be
// put in, all are removed, unless older ones were there and connections are to
// be held back: then what is there stays. The warnings say what is left out.
func (f *Firewall) Install() (warnings []string, err error) {
	if err := CheckPrivilege(); err != nil {
		return nil, err
	}
	keep := !f.in.Bypass && Installed()
	defer func() {
		if err != nil && !keep {
			err = errors.Join(err, Clean())
		}
	}()
	for _, v6 := range []bool{false, true} {
		if !f.in.covers(v6) {
			if err := cleanFamily(v6); err != nil {
				return nil, err
			}
			continue
		}
		if v6 && readSetting("net/ipv6/conf/all/disable_ipv6") != "0" {
			warnings = append(warnings, "IPv6 is switched off on this host: only IPv4 connections are intercepted")
			if err := cleanFamily(v6); err != nil {
				return nil, err
			}
			continue
		}
		ipt, err := openIptables(v6)
		if errors.Is(err, ErrNoIptables) && v6 {
			warnings = append(warnings, fmt.Sprintf("only IPv4 connections are intercepted: %v", err))
			continue
		}
		if err != nil {
			return nil, err
		}
		input := inputTable
		if _, err := ipt.ListChains(inputTable); err != nil {
			input = "mangle"
			warnings = append(warnings, fmt.Sprintf("%s: no table %q (modprobe iptable_security): packets for this host's own sockets are taken before the filter has judged them", familyName(v6), inputTable))
		}
		_, program, _ := familyTools(v6)
		if err := install(program, f.in.tables(v6, input)); err != nil {
			return nil, err
		}
		warning, err := f.in.letThrough(v6)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// install puts rules in by one kind of iptables, in the order of the tables.
// Packets are led to the queues last, when what comes back from us will be let
// through.
func install(program string, tables []*table) error {
	rules, err := saveRules(program)
	if err != nil {
		return err
	}
	return restoreRules(program, replacing(rules, tables))
}

// Remove takes all rules out.
func (f *Firewall) Remove() error { return Clean() }

// Clean removes all rules and chains of ours, whichever run put them in, in
// the network namespace of the calling thread. If there are none it does
// nothing.
func Clean() error {
	if err := CheckPrivilege(); err != nil {
		return err
	}
	return errors.Join(cleanFamily(false), cleanFamily(true))
}

// cleanFamily is Clean for one family.
func cleanFamily(v6 bool) error {
	_, err := openIptables(v6)
	if v6 && errors.Is(err, ErrNoIptables) {
		return nil // and so nothing can be left
	}
	if err != nil {
		return err
	}
	_, program, _ := familyTools(v6)
	return errors.Join(cleanProgram(program), cleanBeside(v6))
}

// Installed tells whether there are rules of ours, whichever run put them in, in
// the network namespace of the calling thread, as far as that can be known.
func Installed() bool {
	for _, v6 := range []bool{false, true} {
		_, program, _ := familyTools(v6)
		if rules, err := saveRules(program); err == nil && removing(rules) != "" {
			return true
		}
	}
	return false
}

// cleanProgram is Clean for one family and one kind of iptables.
func cleanProgram(program string) error {
	rules, err := saveRules(program)
	if err != nil {
		return err
	}
	if text := removing(rules); text != "" {
		return restoreRules(program, text)
	}
	return nil
}

func openIptables(v6 bool) (*iptables.IPTables, error) {
	protocol, name, _ := familyTools(v6)
	ipt, err := iptables.New(iptables.IPFamily(protocol), iptables.Timeout(lockWait))
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no program %s: apt-get install iptables", ErrNoIptables, name)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", name, err)
	}
	return ipt, nil
}

// noTable tells whether iptables said that the kernel has no such table.
func noTable(text string) bool {
	return strings.Contains(text, "Table does not exist") || strings.Contains(text, "does not exist")
}

// iptablesError adds to what iptables said what can be done about it.
func iptablesError(what string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "you must be root"), strings.Contains(text, "Permission denied"):
		return fmt.Errorf("%w: %s: run as root, for example with sudo: %w", ErrPrivilege, what, err)
	case strings.Contains(text, "u32"):
		return fmt.Errorf("%w: %s: modprobe xt_u32, or do with one queue (queues = 1 in [intercept]): %w", ErrNoKernel, what, err)
	case strings.Contains(text, "NFQUEUE"):
		return fmt.Errorf("%w: %s: modprobe xt_NFQUEUE: %w", ErrNoKernel, what, err)
	case strings.Contains(text, "-j CT"), strings.Contains(text, "CT --"):
		return fmt.Errorf("%w: %s: modprobe -a nf_conntrack xt_CT: %w", ErrNoKernel, what, err)
	case noTable(text):
		return fmt.Errorf("%w: %s: modprobe -a iptable_raw iptable_mangle iptable_filter ip6table_raw ip6table_mangle ip6table_filter: %w", ErrNoKernel, what, err)
	case strings.Contains(text, "xtables lock"):
		return fmt.Errorf("%s: another program holds the firewall's lock for more than %d s; look for a running iptables: %w", what, lockWait, err)
	case strings.Contains(text, "No chain/target/match"), strings.Contains(text, "Extension"), strings.Contains(text, "RULE_APPEND failed"),
		strings.HasSuffix(text, ": COMMIT"): // the legacy one names no rule
		return fmt.Errorf("%w: %s: modprobe -a xt_addrtype xt_multiport xt_comment xt_mark xt_MARK xt_CT xt_NFQUEUE xt_u32: %w", ErrNoKernel, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
