package lab

import "net/netip"

// Family is a version of IP.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// Tool is the family's iptables command.
func (f Family) Tool() string {
	if f == IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

func (f Family) pick(four, six netip.Addr) netip.Addr {
	if f == IPv6 {
		return six
	}
	return four
}

// Client is the client's address.
func (f Family) Client() netip.Addr { return f.pick(ClientIP4, ClientIP6) }

// Server is the server's address.
func (f Family) Server() netip.Addr { return f.pick(ServerIP4, ServerIP6) }

// GatewayLAN is the gateway's address on the client's link.
func (f Family) GatewayLAN() netip.Addr { return f.pick(GatewayLAN4, GatewayLAN6) }

// GatewayWAN is the gateway's address on the server's link.
func (f Family) GatewayWAN() netip.Addr { return f.pick(GatewayWAN4, GatewayWAN6) }

// NobodyThere is an address on the server's link that no host has.
func (f Family) NobodyThere() netip.Addr { return f.pick(NobodyThere4, NobodyThere6) }

// At is the server's address with a port.
func (f Family) At(port uint16) netip.AddrPort { return netip.AddrPortFrom(f.Server(), port) }

// linkBits is the length of the prefix of the lab's links.
func (f Family) linkBits() int {
	if f == IPv6 {
		return 64
	}
	return 24
}

// noDAD ends an `ip addr add` so that the address can be used at once.
func (f Family) noDAD() string {
	if f == IPv6 {
		return " nodad"
	}
	return ""
}
