//go:build manpages

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The manual pages are made from the commands' own help, by
//
//	go run -tags manpages ./cmd/tcpmitm man DIRECTORY CONFIG.TOML
//
// The tag keeps what renders them out of the program that is installed.
func init() { extraCommands = append(extraCommands, newMan) }

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY CONFIG",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE:   func(c *cobra.Command, args []string) error { return writeManPages(c.Root(), args[0], args[1]) },
	}
}

func writeManPages(root *cobra.Command, folder, config string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root.DisableAutoGenTag = true
	root.InitDefaultHelpCmd()
	root.CompletionOptions.DisableDefaultCmd = true
	header := &doc.GenManHeader{Section: "8", Source: "tcpmitm " + version, Manual: "tcpmitm"}
	if err := doc.GenManTree(root, header, folder); err != nil {
		return err
	}
	page, err := configPage(config)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "tcpmitm.toml.5"), []byte(page), 0o644)
}

const configHead = `.TH "TCPMITM.TOML" "5" "" "tcpmitm %s" "tcpmitm"
.SH NAME
tcpmitm.toml \- configuration of tcpmitm(8)
.SH SYNOPSIS
/etc/tcpmitm/config.toml
.SH DESCRIPTION
The file is TOML. Each key has a default, so an empty file is a working gateway that splices all
forwarded TCP. \fBtcpmitm check \-\-config\fP \fIFILE\fP says what is wrong with a file, and where.
`

const configTail = `.SH FILES
/usr/share/doc/tcpmitm/examples/config.toml, where it is installed, is the file with every default.
.SH SEE ALSO
\fBtcpmitm\fP(8), \fBtcpmitm\-check\fP(8), \fBtcpmitm\-rule\fP(8), \fBtcpmitm\-doctor\fP(8)
`

// configPage makes the page on the configuration from the file that has every
// key with its default: up to the rules it is keys and comments, and the rules
// are examples, which stay as they are.
func configPage(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	fmt.Fprintf(&b, configHead, version)
	examples := false
	var above []string // comments over a key
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		l := lines.Text()
		switch {
		case !examples && strings.HasPrefix(l, "# ------"):
			examples = true
			b.WriteString(".SH RULES\n.nf\n")
		case examples:
			b.WriteString(roff(strings.TrimPrefix(strings.TrimPrefix(l, "#"), " ")) + "\n")
		case strings.HasPrefix(l, "# "):
			above = append(above, roff(strings.TrimPrefix(l, "# ")))
		case strings.HasPrefix(l, "["):
			above = nil
			b.WriteString(".SH " + roff(l) + "\n")
		case strings.Contains(l, "=") && !strings.HasPrefix(l, "#"):
			key, rest, _ := strings.Cut(l, "=")
			value, comment, _ := strings.Cut(rest, " #")
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fP = %s\n%s\n", roff(strings.TrimSpace(key)), roff(strings.TrimSpace(value)), roff(strings.TrimSpace(comment)))
			if len(above) > 0 {
				b.WriteString(".br\n" + strings.Join(above, "\n") + "\n")
			}
			above = nil
		}
	}
	b.WriteString(".fi\n" + configTail)
	return b.String(), lines.Err()
}

// roff protects what roff would take for its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}
