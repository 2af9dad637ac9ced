package nfq

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// onlyKind fills a folder in which iptables is of one kind, nft or legacy.
func onlyKind(t *testing.T, folder, kind string) string {
	t.Helper()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(tool + "-" + kind + end)
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
