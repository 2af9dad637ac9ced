package labnet

import (
	"bufio"
	"os"
	"strings"
)

// stateListen is LISTEN as the kernel's tables of sockets write it.
const stateListen = "0A"

// Listening tells whether anybody on the host listens on a TCP port.
func (h *Host) Listening() (yes bool) {
	_ = h.In(func() error {
		for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			f, err := os.Open(table)
			if err != nil {
				continue
			}
			for s := bufio.NewScanner(f); !yes && s.Scan(); {
				fields := strings.Fields(s.Text())
				yes = len(fields) > 3 && fields[3] == stateListen
			}
			_ = f.Close()
		}
		return nil
	})
	return yes
}
