package doctor

import (
	"errors"
	"os/exec"
	"regexp"
	"strings"
)

// tableRule is a rule as iptables-save prints it.
type tableRule struct {
	table, chain, target string
	words                []string // without quotes
	line                 string
}

// option returns the word after a flag, "" if it is not there.
func (r *tableRule) option(flag string) string {
	for i, w := range r.words[:max(len(r.words)-1, 0)] {
		if w == flag {
			return r.words[i+1]
		}
	}
	return ""
}

// negated tells whether an exclamation mark stands before a flag.
func (r *tableRule) negated(flag string) bool {
	for i, w := range r.words {
		if w == flag {
			return i > 0 && r.words[i-1] == "!"
		}
	}
	return false
}

// drops tells whether the rule ends a packet.
func (r *tableRule) drops() bool { return r.target == "DROP" || r.target == "REJECT" }

// ruleset is what iptables has of one family.
type ruleset struct {
	program string
	rules   []tableRule
	err     error // why it could not be read; nil for a program that is not there
}

func readTables(h *Host, program string) ruleset {
	s := ruleset{program: program}
	text, err := h.Run("", program)
	if err != nil {
		if !errors.Is(err, exec.ErrNotFound) {
			s.err = err
		}
		return s
	}
	table := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if name, ok := strings.CutPrefix(l, "*"); ok {
			table = name
			continue
		}
		words := strings.Fields(strings.ReplaceAll(l, `"`, ""))
		if len(words) < 2 || words[0] != "-A" {
			continue
		}
		r := tableRule{table: table, chain: words[1], words: words, line: l}
		if r.target = r.option("-j"); r.target == "" {
			r.target = r.option("-g")
		}
		s.rules = append(s.rules, r)
	}
	return s
}

// nftChain is a chain that the kernel itself calls, as `nft list ruleset`
// prints it, with the rules that stand in it.
type nftChain struct {
	family, table, name string
	hook                string
	policyDrop          bool
	rules               []string
}

// nftables are the chains of nftables that iptables does not know of.
type nftables struct {
	chains []nftChain
	all    []string // every rule of every chain
	err    error
	absent bool // there is no nft
}

// iptablesTables are the tables which iptables keeps in nftables.
var iptablesTables = map[string]bool{"filter": true, "nat": true, "mangle": true, "raw": true, "security": true}

func readNFT(h *Host) (n nftables) {
	text, err := h.Run("", "nft", "list", "ruleset")
	if err != nil {
		n.absent = errors.Is(err, exec.ErrNotFound)
		n.err = err
		return n
	}
	var c nftChain
	foreign := false
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		f := strings.Fields(l)
		switch {
		case len(f) >= 3 && f[0] == "table":
			c = nftChain{family: f[1], table: f[2]}
			foreign = !((f[1] == "ip" || f[1] == "ip6") && iptablesTables[f[2]] && iptablesMade(text, f[1], f[2]))
		case len(f) >= 2 && f[0] == "chain":
			c = nftChain{family: c.family, table: c.table, name: f[1]}
			if foreign {
				n.chains = append(n.chains, c)
			}
		case l == "" || l == "}" || f[0] == "#" || !foreign || len(n.chains) == 0 || c.name == "":
		case f[0] == "type" && len(f) > 3 && f[2] == "hook":
			last := &n.chains[len(n.chains)-1]
			last.hook, last.policyDrop = f[3], strings.Contains(l, "policy drop")
		default:
			last := &n.chains[len(n.chains)-1]
			last.rules = append(last.rules, l)
			n.all = append(n.all, l)
		}
	}
	return n
}

// iptablesMade tells whether a table of that name looks like one of iptables:
// then the chains that the kernel calls have their names in capitals.
func iptablesMade(text, family, table string) bool {
	_, after, found := strings.Cut(text, "table "+family+" "+table+" {")
	if !found {
		return false
	}
	body, _, _ := strings.Cut(after, "\n}")
	for l := range strings.Lines(body) {
		f := strings.Fields(l)
		if len(f) >= 2 && f[0] == "chain" {
			switch f[1] {
			case "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING":
				return true
			}
		}
	}
	return false
}

// exempts tells whether a rule of nftables lets a device's packets through.
func exempts(rule, device string) bool {
	if !strings.Contains(rule, "iifname") && !strings.Contains(rule, "iif ") || !strings.HasSuffix(withoutComment(rule), "accept") {
		return false
	}
	for _, w := range strings.FieldsFunc(rule, func(c rune) bool { return strings.ContainsRune(" {},\"", c) }) {
		if prefix, wild := strings.CutSuffix(w, "*"); w == device || wild && prefix != "" && strings.HasPrefix(device, prefix) {
			return !strings.Contains(rule, "!=")
		}
	}
	return false
}

// withoutComment cuts a rule's comment off.
func withoutComment(rule string) string {
	rule, _, _ = strings.Cut(rule, ` comment "`)
	return strings.TrimSpace(rule)
}

// sideEffects are what a rule does besides judging, where it begins with that.
var sideEffects = regexp.MustCompile(`^(counter( packets \d+ bytes \d+)? |log( prefix "[^"]*")?( level \S+)?( flags \S+)? )+`)

// bareText is a rule without comment, counters and the like: a rule that
// judges every packet is then its verdict alone.
func bareText(rule string) string { return sideEffects.ReplaceAllString(withoutComment(rule), "") }
