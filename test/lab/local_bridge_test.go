package lab

import (
	"net/netip"
	"strings"
	"testing"
)

// Where the containers are, and the port of theirs that the host publishes.
const (
	bridgeDevice  = "docker0"
	publishedPort = 8080
	containerPort = 7000
)

// container is one on the bridge, by family.
type container struct {
	*Namespace
	four, six netip.Addr
}

func (c *container) at(f Family, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(f.pick(c.four, c.six), port)
}

// bridgeAddr is the host's own address on the bridge.
func (f Family) bridgeAddr() netip.Addr {
	return f.pick(netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("fd17::1"))
}

// containers makes the gateway a host with two containers on a bridge, with
// the rules that docker makes for them: hidden behind the host's address, one
// port published, everything else dropped.
func (l *Lab) containers() (a, b *container) {
	l.t.Helper()
	l.Gateway.batch("link add "+bridgeDevice+" type bridge forward_delay 0", "addr add 172.17.0.1/16 dev "+bridgeDevice,
		"addr add fd17::1/64 dev "+bridgeDevice+" nodad", "link set "+bridgeDevice+" up")
	for i, c := range []**container{&a, &b} {
		digit := string(rune('2' + i))
		*c = &container{l.addContainer("d" + digit), netip.MustParseAddr("172.17.0." + digit), netip.MustParseAddr("fd17::" + digit)}
		name := (*c).Name
		l.host("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", "veth"+digit, "netns", l.Gateway.Name)
		l.Gateway.batch("link set veth"+digit+" master "+bridgeDevice, "link set veth"+digit+" up")
		(*c).batch("link set lo up", "addr add "+(*c).four.String()+"/16 dev eth0", "addr add "+(*c).six.String()+"/64 dev eth0 nodad",
			"link set eth0 up", "route add default via 172.17.0.1", "route add ::/0 via fd17::1")
	}
	for _, f := range []Family{IPv4, IPv6} {
		l.dockerRules(f, a)
	}
	return a, b
}

// addContainer adds a host that has no links yet and does not forward.
func (l *Lab) addContainer(suffix string) *Namespace {
	l.t.Helper()
	making.RLock()
	defer making.RUnlock()
	n := l.addNamespace(strings.TrimSuffix(l.Gateway.Name, "g") + suffix)
	l.more = append(l.more, n)
	n.noWaiting()
	return n
}

// dockerRules are those of docker 28, with the default bridge.
func (l *Lab) dockerRules(f Family, published *container) {
	l.t.Helper()
	inner := published.at(f, containerPort)
	subnet, loopback := "172.17.0.0/16", "127.0.0.0/8"
	if f == IPv6 {
		subnet, loopback = "fd17::/64", "::1/128"
	}
	l.Gateway.restore(f, `*raw
-A PREROUTING -d `+inner.Addr().String()+` ! -i docker0 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d `+loopback+` -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s `+subnet+` ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination `+inner.String()+`
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d `+inner.Addr().String()+` ! -i docker0 -o docker0 -p tcp -m tcp --dport 7000 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
`)
}

// restore gives rules to the family's iptables-restore.
func (n *Namespace) restore(f Family, rules string) {
	n.lab.t.Helper()
	n.Run(f.Tool()+"-restore", "-w", "--noflush", n.lab.File(n.Name+f.String()+".rules", rules))
}

// TestContainers runs tcpmitm in local mode on a host with containers on a
// bridge, and takes their connections, whoever they are with.
func TestContainers(t *testing.T) {
	for _, c := range []struct {
		name, config, bridged string
		same                  bool // connections within the bridge are taken
	}{
		{"hints", "[intercept]\nmode = \"local\"\nports = [7000]\n", "1", true},
		{"no-hint", "[intercept]\nmode = \"local\"\n", "1", true},
		{"bridge-past-iptables", "[intercept]\nmode = \"local\"\nports = [7000]\n", "0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, Options{})
			a, b := l.containers()
			l.Gateway.Sysctl("net.bridge.bridge-nf-call-iptables", c.bridged)
			l.Gateway.Sysctl("net.bridge.bridge-nf-call-ip6tables", c.bridged)
			p := l.StartProxy(c.config)
			l.EachFamily(func(t *testing.T, f Family) {
				text := strings.Repeat("data", 50_000)
				serve(t, a.Namespace, a.at(f, containerPort), echo)
				serve(t, l.Server, f.At(containerPort), echo)
				serve(t, l.Gateway, netip.AddrPortFrom(f.bridgeAddr(), containerPort), echo)
				l.wantSpliced(p, "container to the outside", a.Namespace, f.At(containerPort), text, true)
				l.wantSpliced(p, "container to the host", a.Namespace, netip.AddrPortFrom(f.bridgeAddr(), containerPort), text, true)
				l.wantSpliced(p, "host to a container", l.Gateway, a.at(f, containerPort), text, true)
				l.wantSpliced(p, "outside to a published port", l.Client, netip.AddrPortFrom(f.GatewayLAN(), publishedPort), text, true)
				l.wantSpliced(p, "container to container", b.Namespace, a.at(f, containerPort), text, c.same)
			})
		})
	}
}
