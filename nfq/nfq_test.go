package nfq

import (
	"fmt"
	"os"
	"testing"
)

// guardArgument makes the test binary play the guard, as the program's
// hidden command does.
const guardArgument = "nfq-test-guard"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == guardArgument {
		if err := RunGuard(os.Stdin, func([]byte) error { return Clean() }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
