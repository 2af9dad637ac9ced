package nfq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

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

	// besideLimit is how long a look at the other kind's rules may take.
	besideLimit = lockWait * time.Second
	// besideMax bounds what is read of them, in octets; it is what the
	// doctor reads of any tool.
	besideMax = 32 << 20
)

// otherKind is the kind of iptables that the program of that name is not, or
// "" if it does not say.
func otherKind(program string) string {
	ctx, cancel := context.WithTimeout(context.Background(), besideLimit)
	defer cancel()
	version, err := exec.CommandContext(ctx, program, "-V").Output()
	switch {
	case err != nil:
		return ""
	case bytes.Contains(version, []byte("nf_tables")):
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
	ctx, cancel := context.WithTimeout(context.Background(), besideLimit)
	defer cancel()
	c := exec.CommandContext(ctx, b.program+"-save")
	var out, complaint limitedBuffer
	c.Stdout, c.Stderr = &out, &complaint
	switch err := c.Run(); {
	case err == nil:
		b.rules = out.String()
		return b, nil
	case kind == kindNFT:
		return b, nil // a kernel, or a host, without it has no rules of it
	case errors.Is(err, exec.ErrNotFound):
		return b, fmt.Errorf("%w: %s: this host has tables of the legacy iptables, and there is no program %s-save to read them; if they drop by default, they drop what tcpmitm sends: apt-get install iptables",
			ErrNoIptables, familyName(v6), b.program)
	default:
		return b, fmt.Errorf("%s: reading the rules of %s: %w: %s", familyName(v6), b.program, err, strings.TrimSpace(complaint.String()))
	}
}

// legacyTables tells whether the legacy iptables has tables in this network
// namespace. Asking the program itself would make them.
func legacyTables(names string) bool {
	text, err := os.ReadFile("/proc/thread-self/net/" + names)
	return err == nil && len(bytes.TrimSpace(text)) > 0
}

// filters tells whether the other kind's filter does anything at all.
func (b *beside) filters() bool {
	table := ""
	for line := range strings.Lines(b.rules) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "*"):
			table = line
		case table != "*filter":
		case strings.HasPrefix(line, "-A"), strings.HasPrefix(line, ":") && strings.Contains(line, " DROP "):
			return true
		}
	}
	return false
}

// open makes the other kind's program ready for use.
func (b *beside) open(v6 bool) (*iptables.IPTables, error) {
	protocol, _, _ := familyTools(v6)
	ipt, err := iptables.New(iptables.IPFamily(protocol), iptables.Timeout(lockWait), iptables.Path(b.program))
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", b.program, err)
	}
	return ipt, nil
}

// letThrough puts what lets our packets through into the filter of the other
// kind, if that is in use. The warning says that nobody can know.
func (in *Intercept) letThrough(v6 bool) (warning string, err error) {
	b, err := lookBeside(v6)
	if errors.Is(err, ErrNoIptables) {
		return err.Error(), nil
	}
	if err != nil || !b.filters() {
		return "", err
	}
	ipt, err := b.open(v6)
	if err != nil {
		return "", err
	}
	return "", install(ipt, []*table{in.passTable()})
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
	if err != nil || !strings.Contains(b.rules, chainPrefix) {
		return nil // rules that cannot be read are for Install to complain about
	}
	ipt, err := b.open(v6)
	if err != nil {
		return err
	}
	return cleanFamily(ipt, v6)
}

func familyTools(v6 bool) (protocol iptables.Protocol, program, names string) {
	if v6 {
		return iptables.ProtocolIPv6, "ip6tables", "ip6_tables_names"
	}
	return iptables.ProtocolIPv4, "iptables", "ip_tables_names"
}

// limitedBuffer keeps the first besideMax octets.
type limitedBuffer struct{ bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := besideMax - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
