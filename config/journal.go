package config

import "path/filepath"

// Journal says where every fault that fires is written.
type Journal struct {
	File string `toml:"file"` // empty: nowhere
	Size int64  `toml:"size"` // octets of one file
	Keep int    `toml:"keep"` // old files
}

// Bounds of the journal's files.
const (
	minJournalOctets = 64 << 10
	maxJournalOctets = 1 << 40
	maxJournalKeep   = 1000
)

func (t *table) journal(c *Journal) {
	const example = `the path of a file in quotes, for example "/var/log/tcpmitm.journal", or "" for none`
	if path, ok := typed[string](t, "file", example); ok {
		switch {
		case path != "" && !filepath.IsAbs(path):
			t.wrong("file", "%q does not begin with a slash: must be %s", path, example)
		case path != "" && path[len(path)-1] == '/':
			t.wrong("file", "%q is a folder: must be %s", path, example)
		default:
			c.File = path
		}
	}
	size(t, "size", &c.Size, minJournalOctets, maxJournalOctets)
	whole(t, "keep", &c.Keep, 0, maxJournalKeep)
	t.done()
}
