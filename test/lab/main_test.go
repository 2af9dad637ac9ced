package lab

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// tools are the programs that the tests run; scripts/install-deps knows the
// packages.
var tools = []string{
	"ip", "iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy", "nft", "ethtool", "tcpdump", "tshark", "nginx", "curl", "iperf3", "nc",
	"nmap", "setpriv", "unshare", "sha256sum", "bash", "psql", "redis-server", "redis-cli",
}

func TestMain(m *testing.M) {
	flag.BoolVar(&Plain, "plain", false, "forward only, without tcpmitm: proves the tests' own mechanics")
	race := flag.Bool("proxy-race", false, "build tcpmitm with the race detector")
	flag.Parse()
	os.Exit(run(m, *race))
}

func run(m *testing.M, race bool) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the lab makes network namespaces: run as root (sudo make test)")
		return 1
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "the lab needs %s: run scripts/install-deps (%v)\n", tool, err)
			return 1
		}
	}
	Sweep()
	CloseOnSignal()
	if !Plain {
		var flags []string
		if race {
			flags = append(flags, "-race")
		}
		if err := Build(flags...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer Unbuild()
	}
	return m.Run()
}
