package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFileOctets bounds the file; with MaxRules rules it would still fit.
const maxFileOctets = 16 << 20

// Load reads a file. What is wrong in it comes back as an *Error.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w; name the file with --config", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileOctets+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if len(text) > maxFileOctets {
		return nil, fmt.Errorf("%s: longer than %d MiB, which no configuration is", file, maxFileOctets>>20)
	}
	return Parse(file, string(text))
}

// Parse reads a text; file is its name in messages.
func Parse(file, text string) (*Config, error) {
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, syntaxError(file, err)
	}
	r := &reader{places: locate(text)}
	c := Default()
	r.config(tree, c)
	if err := r.problems.err(file); err != nil {
		return nil, err
	}
	return c, nil
}

// syntaxError says in our form what the toml package found.
func syntaxError(file string, err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &Error{File: file, Problems: []Problem{{Message: err.Error()}}}
	}
	return &Error{File: file, Problems: []Problem{{
		Position: Position{Line: pe.Position.Line, Column: pe.Position.Col},
		// The toml package reads the end of the file as a zero octet.
		Message: strings.ReplaceAll(pe.Message, `'\x00'`, "the end of the file"),
	}}}
}
