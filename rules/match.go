package rules

import (
	"net/netip"
	"sync/atomic"
)

type counter = atomic.Uint64

// PortRange is a run of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Match says which connections a rule is for. An empty list matches all.
type Match struct {
	Clients, Servers         []netip.Prefix
	ClientPorts, ServerPorts []PortRange
	Probability              float64 // 0 to 1; 1 matches always
	Every                    uint64  // of those matched so far, only every n-th; 0 and 1: all
}

// Set is an ordered list of rules.
type Set struct{ rules []*Rule }

// First returns the first rule that matches c, or nil.
func (s *Set) First(c Conn) *Rule { return nil }
