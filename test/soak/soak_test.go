package soak

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"tcpmitm/test/lab"
)

// tools are the programs that a run needs; scripts/install-deps knows the
// packages.
var tools = []string{"ip", "iptables", "ip6tables", "nginx", "curl"}

var (
	duration = flag.Duration("duration", 24*time.Second, "of the traffic")
	seed     = flag.Uint64("seed", 1, "of all that is drawn")
	load     = flag.Float64("load", 1, "how much traffic: 1 is some 35 connections and 6 MB a second")
	folder   = flag.String("out", "", "folder for the report and the samples; empty keeps none")
	race     = flag.Bool("proxy-race", false, "build tcpmitm with the race detector")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the soak makes network namespaces: run as root (sudo make soak)")
		return 1
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "the soak needs %s: run scripts/install-deps test (%v)\n", tool, err)
			return 1
		}
	}
	lab.Sweep()
	lab.CloseOnSignal()
	var flags []string
	if *race {
		flags = append(flags, "-race")
	}
	if err := lab.Build(flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer lab.Unbuild()
	return m.Run()
}

// TestSoak lets mixed traffic go on under changing rules, and wants nothing to
// be left of it, and memory to be flat.
func TestSoak(t *testing.T) {
	r := Run(t, Plan{Duration: *duration, Seed: *seed, Load: *load, Folder: *folder}, os.Stdout)
	fmt.Println(r.Text())
	if r.Failed() {
		t.Errorf("seed %d does not pass, see the report", *seed)
	}
}
