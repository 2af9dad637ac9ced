package nfq

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// There are two kinds of iptables, and a host may have rules by both. Each
// kind's chains judge every packet: what ours accepts in the tables of one
// kind, the other's may still drop. So what we send is let through by the
// filter of either kind, and both are cleaned.

const (
	// kindNFT and kindLegacy end the names of the programs of either kind.
	kindNFT    = "-nft"
	kindLegacy = "-legacy"
)

// otherKind is the kind of iptables that the program of that name is not, or
// "" if it does not say.
func otherKind(program string) string {
	version, _, err := runTool(program, "", "-V")
	switch {
	case err != nil:
		return ""
	case strings.Contains(version, "nf_tables"):
		return kindLegacy
	}
	return kindNFT
}

// beside is what there is of the other kind of iptables.
type beside struct {
	program string // for example iptables-legacy
	rules   string // as its -save prints them; "" if there are none
}

// lookBeside finds the rules of the other kind, of one family, in the network
// namespace of the calling thread. It makes no tables by looking. It returns
// an error only where there may be rules that cannot be read.
func lookBeside(v6 bool) (beside, error) {
	_, program, names := familyTools(v6)
	kind := otherKind(program)
	b := beside{program: program + kind}
	if kind == "" || kind == kindLegacy && !legacyTables(names) {
		return b, nil
	}
	rules, err := saveRules(b.program)
	switch {
	case err == nil:
		b.rules = rules
		return b, nil
	case kind == kindNFT:
		return b, nil // a kernel, or a host, without it has no rules of it
	}
	return b, fmt.Errorf("%s: this host has tables of the legacy iptables; if they drop by default, they drop what tcpmitm sends: %w", familyName(v6), err)
}

// legacyTables tells whether the legacy iptables has tables in this network
// namespace. Asking the program itself would make them.
func legacyTables(names string) bool {
	text, err := os.ReadFile("/proc/thread-self/net/" + names)
	return err == nil && len(bytes.TrimSpace(text)) > 0
}

// filters tells whether the other kind's filter does anything at all, but for
// what is ours.
func (b *beside) filters() bool {
	table := ""
	for line := range strings.Lines(b.rules) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "*"):
			table = line
		case table != "*filter", strings.Contains(line, chainPrefix):
		case strings.HasPrefix(line, "-A"), strings.HasPrefix(line, ":") && strings.Contains(line, " DROP "):
			return true
		}
	}
	return false
}

// letThrough puts what lets our packets through into the filter of the other
// kind, if that is in use, in the place of all that is ours there. The warning
// says that nobody can know.
func (in *Intercept) letThrough(v6 bool) (warning string, err error) {
	b, err := lookBeside(v6)
	if errors.Is(err, ErrNoIptables) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	var tables []*table
	if b.filters() {
		tables = append(tables, in.passTable())
	}
	if text := replacing(b.rules, tables); text != "" {
		return "", restoreRules(b.program, text)
	}
	return "", nil
}

// ShowBeside returns what Install would add by the other kind of iptables, in the
// network namespace of the calling thread, as its -save prints it. Where nobody
// can know, for want of root, a comment says why.
func (f *Firewall) ShowBeside() (lines []string) {
	for _, v6 := range []bool{false, true} {
		if !f.in.covers(v6) {
			continue
		}
		switch b, err := lookBeside(v6); {
		case err != nil:
			lines = append(lines, "# "+err.Error())
		case b.filters():
			lines = append(lines, fmt.Sprintf("# %s, by %s, whose filter this host uses as well", familyName(v6), b.program))
			lines = append(lines, f.in.passTable().save()...)
		}
	}
	return lines
}

// passTable is the part of the filter's rules that lets through what we send.
func (in *Intercept) passTable() *table {
	t := &table{name: "filter"}
	in.pass(t)
	return t
}

// cleanBeside removes what an earlier run has put into tables of the other
// kind; which kind was its own does not matter.
func cleanBeside(v6 bool) error {
	b, err := lookBeside(v6)
	if err != nil {
		return nil // rules that cannot be read are for Install to complain about
	}
	if text := removing(b.rules); text != "" {
		return restoreRules(b.program, text)
	}
	return nil
}

// familyTools names what there is of iptables for one family: its protocol, its
// program, and the file in /proc/net that lists the legacy one's tables.
func familyTools(v6 bool) (protocol iptables.Protocol, program, names string) {
	if v6 {
		return iptables.ProtocolIPv6, "ip6tables", "ip6_tables_names"
	}
	return iptables.ProtocolIPv4, "iptables", "ip_tables_names"
}
