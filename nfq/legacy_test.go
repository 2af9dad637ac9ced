package nfq

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func path() string { return os.Getenv("PATH") }

// legacyFolder makes a folder in which iptables is the legacy one.
func legacyFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(tool + "-legacy" + end)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(program, filepath.Join(folder, tool+end)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return folder
}
