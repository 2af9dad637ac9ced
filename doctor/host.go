package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// toolLimit is how long a tool may take.
	toolLimit = 10 * time.Second
	// maxOutput bounds what is read of a tool or a file, in octets; a large
	// Kubernetes node has some MiB of rules.
	maxOutput = 32 << 20
)

// Host is what there is to be examined. A test makes one of its own.
type Host struct {
	// Files is the root of the file system, for reading.
	Files fs.FS
	// Run runs a tool with that standard input and returns what it printed.
	// A tool that is not there is an error for which errors.Is(err,
	// exec.ErrNotFound) holds.
	Run func(input, tool string, args ...string) (string, error)
	// Write writes a setting of the kernel, given by its path below the root.
	Write func(path, value string) error
}

// ThisHost is the host, and the network namespace, that the process runs in.
func ThisHost() *Host { return &Host{Files: os.DirFS("/"), Run: runTool, Write: writeFile} }

func writeFile(path, value string) error {
	return os.WriteFile(filepath.Join("/", path), []byte(value), 0)
}

func runTool(input, tool string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolLimit)
	defer cancel()
	c := exec.CommandContext(ctx, tool, args...)
	c.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin:/usr/bin:/bin")
	if c.Err != nil {
		// Ordinary users often have no sbin in their PATH.
		for _, folder := range []string{"/usr/sbin", "/sbin"} {
			if path := filepath.Join(folder, tool); executable(path) {
				c.Path, c.Err = path, nil
				break
			}
		}
	}
	c.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &bounded{&out}, &bounded{&complaint}
	if err := c.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		if first != "" {
			return out.String(), fmt.Errorf("%s: %w: %s", tool, err, first)
		}
		return out.String(), fmt.Errorf("%s: %w", tool, err)
	}
	return out.String(), nil
}

func executable(path string) bool {
	s, err := os.Stat(path)
	return err == nil && s.Mode().IsRegular() && s.Mode()&0o111 != 0
}

// bounded keeps the first maxOutput octets.
type bounded struct{ b *bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - w.b.Len(); room > 0 {
		w.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// read returns a file's text without blanks around it; there is false for one
// that is not there or may not be read.
func (h *Host) read(path string) (text string, there bool) {
	b, err := fs.ReadFile(h.Files, path)
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// setting reads a setting of the kernel, "" if there is none.
func (h *Host) setting(key string) string {
	text, _ := h.read("proc/sys/" + key)
	return text
}

// exists tells whether there is such a file or folder.
func (h *Host) exists(path string) bool {
	_, err := fs.Stat(h.Files, path)
	return err == nil
}

// folder lists a folder's entries by name, none if there is no such folder.
func (h *Host) folder(path string) (names []string) {
	entries, err := fs.ReadDir(h.Files, path)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// lines are the lines of a text without those that are empty.
func lines(text string) (out []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
