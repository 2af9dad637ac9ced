package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	toxiproxyPackage = "github.com/Shopify/toxiproxy/v2/cmd/server"
	toxiproxyVersion = "v2.12.0"
	buildLimit       = 10 * time.Minute
)

// tools are the paths of the programs.
type tools struct{ tcpmitm, null, toxiproxy, netstack string }

// build builds what the chosen contenders are made of. Toxiproxy comes by the
// module proxy, once.
func build(ctx context.Context, folder string, chosen []*contender) (*tools, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	has := func(keys ...string) bool {
		return slices.ContainsFunc(chosen, func(c *contender) bool { return slices.Contains(keys, c.key) })
	}
	t := &tools{}
	if has("tcpmitm", "touch") {
		if t.tcpmitm = os.Getenv("TCPMITM_BIN"); t.tcpmitm == "" {
			t.tcpmitm = filepath.Join(folder, "tcpmitm")
			if err := goCommand(ctx, ".", nil, "build", "-trimpath", "-buildvcs=false", "-o", t.tcpmitm, "./cmd/tcpmitm"); err != nil {
				return nil, err
			}
		}
	}
	if has("null") {
		t.null = filepath.Join(folder, "nullpath")
		if err := goCommand(ctx, ".", nil, "build", "-trimpath", "-buildvcs=false", "-o", t.null, "./test/bench/nullpath"); err != nil {
			return nil, err
		}
	}
	if has("netstack") {
		t.netstack = filepath.Join(folder, "netstackproxy")
		if err := goCommand(ctx, "test/bench/netstackproxy", nil, "build", "-trimpath", "-buildvcs=false", "-o", t.netstack, "."); err != nil {
			return nil, err
		}
	}
	if has("toxiproxy") {
		own := filepath.Join(folder, "toxiproxy-"+toxiproxyVersion)
		t.toxiproxy = filepath.Join(own, "server")
		if _, err := os.Stat(t.toxiproxy); err != nil {
			say("fetching and building Toxiproxy " + toxiproxyVersion + " (once)")
			if err := goCommand(ctx, os.TempDir(), []string{"GOBIN=" + own}, "install", toxiproxyPackage+"@"+toxiproxyVersion); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func goCommand(ctx context.Context, folder string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s, in %s: %w\n%s", args[0], folder, err, out)
	}
	return nil
}
