package rules

import (
	"fmt"
	"math/bits"
)

// MaxRules bounds a Set. It is what keeps the summaries of the index at
// MaxRules/64/64 = 16 words.
const MaxRules = 1 << 16

// Set is an ordered list of rules, compiled. It is safe for concurrent use.
type Set struct {
	rules       []*Rule
	clients     addresses
	servers     addresses
	clientPorts ports
	serverPorts ports
}

// New compiles rules, the first of which has precedence. The rules belong to
// the set from then on. More than MaxRules are a mistake of the caller.
func New(list []*Rule) *Set {
	if len(list) > MaxRules {
		panic(fmt.Sprintf("rules: New with %d rules, of which a set holds %d", len(list), MaxRules))
	}
	s := &Set{rules: append([]*Rule(nil), list...)}
	n := len(list)
	clients, servers := newAddresses(n), newAddresses(n)
	clientPorts, serverPorts := newPorts(n), newPorts(n)
	for i, r := range s.rules {
		r.begin()
		clients.add(i, r.Match.Clients)
		servers.add(i, r.Match.Servers)
		clientPorts.add(i, r.Match.ClientPorts)
		serverPorts.add(i, r.Match.ServerPorts)
	}
	s.clients, s.servers = clients.build(), servers.build()
	s.clientPorts, s.serverPorts = clientPorts.build(), serverPorts.build()
	return s
}

// Len is the number of rules.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

// Rules returns the rules in their order. The slice is the caller's.
func (s *Set) Rules() []*Rule {
	if s == nil {
		return nil
	}
	return append([]*Rule(nil), s.rules...)
}

// First returns the first rule that is in force and matches c, and the
// ordinal of c among the connections that this rule has decided, from 1. It
// returns nil if no rule matches. A nil Set has no rules.
func (s *Set) First(c Conn) (r *Rule, ordinal uint64) {
	if s == nil || len(s.rules) == 0 {
		return nil, 0
	}
	dims := [...]member{
		s.servers.find(c.Server.Addr()),
		s.serverPorts.find(c.Server.Port()),
		s.clients.find(c.Client.Addr()),
		s.clientPorts.find(c.Client.Port()),
	}
	for sw := range summaryWords(len(s.rules)) {
		blocks := ^uint64(0)
		for i := range dims {
			blocks &= dims[i].summary(sw)
		}
		for ; blocks != 0; blocks &= blocks - 1 {
			w := sw*64 + bits.TrailingZeros64(blocks)
			candidates := ^uint64(0)
			for i := range dims {
				candidates &= dims[i].word(w)
			}
			for ; candidates != 0; candidates &= candidates - 1 {
				r := s.rules[w*64+bits.TrailingZeros64(candidates)]
				if !r.InForce(c.At) {
					continue
				}
				if ordinal, ok := r.take(); ok {
					return r, ordinal
				}
			}
		}
	}
	return nil, 0
}

// Succeed carries over to s what the rules of old have counted: a rule of s
// succeeds the one of old that has its name. It must be called before anybody
// else knows s. Rules that are in both stay as they are.
func (s *Set) Succeed(old *Set) {
	if s == nil || old == nil {
		return
	}
	named := make(map[string]*Rule, len(old.rules))
	for _, r := range old.rules {
		named[r.Name] = r
	}
	for _, r := range s.rules {
		if o := named[r.Name]; o != nil && o != r {
			r.Succeed(o)
		}
	}
}
