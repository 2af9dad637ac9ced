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

// maxCleanRules bounds the jumps that one chain may have to us: one of each
// run that was killed would be one, and each start removes it.
const maxCleanRules = 64

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
// after it has removed what an earlier run may have left. If one cannot be
// put in, all are removed again. The warnings say what is left out.
func (f *Firewall) Install() (warnings []string, err error) {
	if err := Clean(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Clean())
		}
	}()
	for _, v6 := range []bool{false, true} {
		if !f.in.covers(v6) {
			continue
		}
		if v6 && readSetting("net/ipv6/conf/all/disable_ipv6") != "0" {
			warnings = append(warnings, "IPv6 is switched off on this host: only IPv4 connections are intercepted")
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
		if err := install(ipt, f.in.tables(v6, input)); err != nil {
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

// install fills all chains before it leads anybody there, and leads packets
// to the queues only when what comes back from us will be let through.
func install(ipt *iptables.IPTables, tables []*table) error {
	for _, t := range tables {
		for _, c := range t.chains {
			if err := ipt.NewChain(t.name, c.name); err != nil {
				return iptablesError(fmt.Sprintf("making chain %s of table %s", c.name, t.name), err)
			}
		}
		for _, c := range t.chains {
			for _, r := range c.rules {
				if err := ipt.Append(t.name, c.name, r.args()...); err != nil {
					return iptablesError("adding "+saved(c.name, r)+" to table "+t.name, err)
				}
			}
		}
	}
	for _, t := range tables {
		for _, j := range t.jumps {
			if err := ipt.Insert(t.name, j.hook, 1, j.rule().args()...); err != nil {
				return iptablesError("adding "+saved(j.hook, j.rule())+" to table "+t.name, err)
			}
		}
	}
	return nil
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
	var errs []error
	for _, v6 := range []bool{false, true} {
		ipt, err := openIptables(v6)
		if v6 && errors.Is(err, ErrNoIptables) {
			continue // and so nothing can be left
		}
		if err != nil {
			return err
		}
		errs = append(errs, cleanFamily(ipt, v6), cleanBeside(v6))
	}
	return errors.Join(errs...)
}

// cleanFamily is Clean for one family and one kind of iptables.
func cleanFamily(ipt *iptables.IPTables, v6 bool) error {
	var errs []error
	// Deleting a chain takes the kernel a while, so first nothing leads
	// to any; in this order nothing is led to a queue any more before
	// what we send is stopped.
	for _, clean := range []func(*iptables.IPTables, string, []string, []string) error{cleanJumps, cleanChains} {
		for _, name := range []string{"raw", "mangle", inputTable, "filter"} {
			if err := cleanTable(ipt, name, clean); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", familyName(v6), err))
			}
		}
	}
	return errors.Join(errs...)
}

// cleanTable has a table's chains cleaned, told apart into ours and others'.
func cleanTable(ipt *iptables.IPTables, name string, clean func(ipt *iptables.IPTables, table string, own, others []string) error) error {
	chains, err := ipt.ListChains(name)
	if err != nil {
		// A table that the kernel does not have holds nothing of ours.
		var ierr *iptables.Error
		if errors.As(err, &ierr) && noTable(ierr.Error()) {
			return nil
		}
		return iptablesError("listing table "+name, err)
	}
	var own, others []string
	for _, c := range chains {
		if strings.HasPrefix(c, chainPrefix) {
			own = append(own, c)
		} else {
			others = append(others, c)
		}
	}
	if len(own) == 0 {
		return nil
	}
	return clean(ipt, name, own, others)
}

func cleanJumps(ipt *iptables.IPTables, table string, _, others []string) error {
	for _, c := range others {
		if err := cleanChain(ipt, table, c); err != nil {
			return err
		}
	}
	return nil
}

// cleanChains deletes our chains. They lead to each other, so all are
// emptied before any goes.
func cleanChains(ipt *iptables.IPTables, table string, own, _ []string) error {
	for _, c := range own {
		if err := ipt.ClearChain(table, c); err != nil {
			return iptablesError("emptying chain "+c+" of table "+table, err)
		}
	}
	for _, c := range own {
		if err := ipt.DeleteChain(table, c); err != nil {
			return iptablesError("deleting chain "+c+" of table "+table, err)
		}
	}
	return nil
}

// cleanChain deletes the rules of another's chain that lead to us.
func cleanChain(ipt *iptables.IPTables, table, name string) error {
	rules, err := ipt.List(table, name)
	if err != nil {
		return iptablesError("listing chain "+name+" of table "+table, err)
	}
	deleted := 0
	for _, line := range rules {
		f := strings.Fields(strings.ReplaceAll(line, `"`, ""))
		if len(f) < 4 || f[0] != "-A" || !strings.HasPrefix(f[len(f)-1], chainPrefix) || deleted == maxCleanRules {
			continue
		}
		deleted++
		if err := ipt.Delete(table, name, f[2:]...); err != nil {
			return iptablesError("deleting "+line+" of table "+table, err)
		}
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
	case strings.Contains(text, "No chain/target/match"), strings.Contains(text, "Extension"), strings.Contains(text, "RULE_APPEND failed"):
		return fmt.Errorf("%w: %s: modprobe -a xt_addrtype xt_multiport xt_comment xt_mark xt_MARK xt_CT xt_NFQUEUE xt_u32: %w", ErrNoKernel, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
