// Package arch holds the tests that the shape of the code must pass.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "tcpmitm"

// allowed says which packages of ours each package may import. Imports run
// one way: the kernel's edge and the splice both know the endpoint, neither
// knows the other, and the endpoint and the rules know nobody. "*" is all.
var allowed = map[string][]string{
	"endpoint":    {},
	"rules":       {},
	"profiles":    {},
	"nfq":         {"endpoint"},
	"doctor":      {},
	"faults":      {"endpoint", "rules"},
	"stream":      {"endpoint", "rules"},
	"splice":      {"endpoint", "faults", "rules", "stream"},
	"config":      {"profiles", "rules"},
	"trace":       {"endpoint", "rules", "splice"},
	"capture":     {"endpoint", "rules", "splice", "trace"},
	"control":     {"capture", "config", "endpoint", "rules", "splice", "trace"},
	"journal":     {"trace"},
	"labnet":      {},
	"expect":      {"trace"},
	"cmd/tcpmitm": {"*"},
}

// pure are the packages that may import the standard library only.
var pure = []string{"doctor", "endpoint", "faults", "rules", "stream"}

// effectless are the packages without I/O, clock, randomness or goroutines of
// their own, and what they therefore may not import.
var effectless = map[string][]string{
	"endpoint": {"net", "os", "log", "log/slog", "sync", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "context"},
	"faults":   {"net", "os", "log", "log/slog", "sync", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "context"},
	"rules":    {"net", "os", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "context"},
	"stream":   {"net", "os", "log", "log/slog", "sync", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "context"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// production lists the packages of the module that are not tests.
func production(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if !strings.HasPrefix(p.ImportPath, module+"/test/") {
			all = append(all, p)
		}
	}
	if len(all) < 4 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// owner returns the name by which a package stands in allowed: itself, or the
// nearest folder above it.
func owner(name string) (string, bool) {
	for ; name != ""; name = name[:max(0, strings.LastIndexByte(name, '/'))] {
		if _, ok := allowed[name]; ok {
			return name, true
		}
	}
	return "", false
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range production(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		from, ok := owner(name)
		if !ok {
			t.Errorf("package %s: say in this test what it may import", name)
			continue
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module+"/")
			switch {
			case ours:
				target, _ := owner(to)
				if target != from && !slices.Contains(allowed[from], "*") && !slices.Contains(allowed[from], target) {
					t.Errorf("%s imports %s; it may import %v of ours", name, to, allowed[from])
				}
			case slices.Contains(pure, from) && strings.Contains(path, "."):
				t.Errorf("%s imports %s; it may import the standard library only", name, path)
			}
			if slices.Contains(effectless[from], path) {
				t.Errorf("%s imports %s; it has no effects of its own", name, path)
			}
		}
	}
}

// TestTheTestSees makes sure that the look-up this test lives by works.
func TestTheTestSees(t *testing.T) {
	for name, want := range map[string]string{"endpoint": "endpoint", "nfq/ring": "nfq", "cmd/tcpmitm": "cmd/tcpmitm"} {
		if got, ok := owner(name); !ok || got != want {
			t.Errorf("owner of %s is %q, %v; want %q", name, got, ok, want)
		}
	}
	if got, ok := owner("somewhere/else"); ok {
		t.Errorf("an unknown package belongs to %q", got)
	}
	imports := 0
	for _, p := range production(t) {
		for _, path := range p.Imports {
			if strings.HasPrefix(path, module+"/") {
				imports++
			}
		}
	}
	if imports == 0 {
		t.Error("no package imports another: the list is not what it was")
	}
}
