package arch

import (
	"regexp"
	"strings"
	"testing"
)

// hostsDocument has a row for each kind of host, with the test that shows it.
const hostsDocument = "docs/hosts.md"

var (
	hostTest = regexp.MustCompile("^`(TestHost[A-Za-z0-9]*)(?:/([a-z0-9-]+))?`$")
	// A cell of a table of tests says its name like this.
	hostCell = `"NAME"`
)

// TestHostsAreTested holds the table against the lab: each row names a test
// that exists, and each test and cell of the lab's has a row.
func TestHostsAreTested(t *testing.T) {
	var sources strings.Builder
	for _, file := range []string{"matrix", "paths", "links", "mtu", "nft"} {
		sources.WriteString(readFile(t, "test/lab/host_"+file+"_test.go"))
	}
	text := sources.String()
	rows := tableRows(t, hostsDocument)
	if len(rows) < 15 {
		t.Fatalf("only %d rows in %s", len(rows), hostsDocument)
	}
	named := map[string]bool{}
	for _, r := range rows {
		m := hostTest.FindStringSubmatch(r[len(r)-1])
		if m == nil {
			t.Errorf("%s: %q names no test", r[0], r[len(r)-1])
			continue
		}
		named[m[1]] = true
		if !strings.Contains(text, "\nfunc "+m[1]+"(t *testing.T)") {
			t.Errorf("%s: there is no test %s", r[0], m[1])
		}
		if m[2] == "" {
			continue
		}
		named[m[2]] = true
		if !strings.Contains(text, strings.Replace(hostCell, "NAME", m[2], 1)) {
			t.Errorf("%s: %s has no cell %s", r[0], m[1], m[2])
		}
	}
	for _, pattern := range []string{`\nfunc (TestHost[A-Za-z0-9]*)\(`, `\n\t\t?\t?\{name: "([a-z0-9-]+)"`, `\n\t\t\{"([a-z0-9-]+)", narrow`} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			if !named[m[1]] {
				t.Errorf("%s has no row for %s", hostsDocument, m[1])
			}
		}
	}
}
