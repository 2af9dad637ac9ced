package soak

import "fmt"

// class says what rules may do to a connection. It follows from the port.
type class int

const (
	plain  class = iota // no faults: it must succeed
	mended              // what TCP mends, and policies that keep the octets: it must succeed
	ended               // rules may end it: it must end, and what was read must be right
	silent              // rules may fall silent: the client must give up by itself
	classes
)

func (c class) String() string { return [...]string{"plain", "mended", "ended", "silent"}[c] }

const (
	firstPort     = 7000
	classStride   = 100
	portsOfClass  = 8    // of each class
	idlePort      = 7050 // plain
	burstPort     = 7051 // plain, SYNs that nobody means
	vanishPort    = 7052 // plain, clients that fall off the network
	closedPort    = 7900 // nobody listens
	webPort       = 80   // nginx, plain
	webMendedPort = 8080 // nginx, mended
)

// port is the n-th of a class.
func (c class) port(n int) uint16 {
	return uint16(firstPort + int(c)*classStride + n%portsOfClass)
}

// ports is all of them as match has it.
func (c class) ports() string {
	first := firstPort + int(c)*classStride
	return fmt.Sprintf("%q", fmt.Sprintf("%d-%d", first, first+portsOfClass-1))
}

// classOf is the class of a port.
func classOf(port uint16) class {
	switch {
	case port == webMendedPort:
		return mended
	case port >= firstPort && port < firstPort+uint16(classes)*classStride:
		return class((port - firstPort) / classStride)
	}
	return plain
}
