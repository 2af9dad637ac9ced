package rules

import (
	"fmt"
	"net/netip"
	"strconv"
)

// PortRange is a run of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Contains tells whether the port lies in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String writes the range as the configuration does.
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Match says which connections a rule is for. An empty list matches all.
type Match struct {
	Clients, Servers         []netip.Prefix
	ClientPorts, ServerPorts []PortRange
	Probability              float64 // 0 to 1; 1 matches always
	Every                    uint64  // of those matched so far, only every n-th; 0 and 1: all
}

// addresses tells whether the addresses and ports of c are those of the
// match. It is the plain reading of the fields, which the index must agree
// with; the tests hold the one against the other.
func (m *Match) addresses(c Conn) bool {
	return anyPrefix(m.Clients, c.Client.Addr()) && anyPrefix(m.Servers, c.Server.Addr()) &&
		anyRange(m.ClientPorts, c.Client.Port()) && anyRange(m.ServerPorts, c.Server.Port())
}

func anyPrefix(list []netip.Prefix, a netip.Addr) bool {
	if len(list) == 0 {
		return true
	}
	a = a.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func anyRange(list []PortRange, port uint16) bool {
	if len(list) == 0 {
		return true
	}
	for _, r := range list {
		if r.Contains(port) {
			return true
		}
	}
	return false
}
