package config

import (
	"fmt"
	"strconv"
	"strings"
)

// locate finds where each key and each element of an array stands in a TOML
// text. The names are paths as the reader walks them: intercept.ports,
// intercept.ports[2], rule[0].faults[1].by. A key has the place of its last
// part; an element that of its first character.
//
// The text has passed the toml package, so the scanner only has to follow
// what is legal; at anything else it stops and knows no more places.
func locate(text string) map[string]Position {
	s := &scanner{text: text, places: map[string]Position{}, tables: map[string]int{}}
	s.document()
	return s.places
}

// maxNesting bounds how deep arrays and inline tables may lie in each other.
const maxNesting = 64

type scanner struct {
	text   string
	at     int
	places map[string]Position
	tables map[string]int // [[name]]: how many were met
	broken bool

	// Places are asked for in growing order, so that lines are counted once.
	counted, line, lineStart int
}

func (s *scanner) position(at int) Position {
	for ; s.counted < at; s.counted++ {
		if s.text[s.counted] == '\n' {
			s.line++
			s.lineStart = s.counted + 1
		}
	}
	return Position{s.line + 1, at - s.lineStart + 1}
}

func (s *scanner) mark(path string, at int) {
	if _, met := s.places[path]; !met {
		s.places[path] = s.position(at)
	}
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip passes over white space and, if lines is set, over ends of lines and
// comments.
func (s *scanner) skip(lines bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == ' ' || c == '\t':
		case lines && (c == '\n' || c == '\r'):
		case lines && c == '#':
			s.comment()
			continue
		default:
			return
		}
		s.at++
	}
}

func (s *scanner) comment() {
	if i := strings.IndexByte(s.text[s.at:], '\n'); i >= 0 {
		s.at += i
	} else {
		s.at = len(s.text)
	}
}

func (s *scanner) document() {
	prefix := ""
	for !s.broken {
		s.skip(true)
		switch s.peek() {
		case 0:
			return
		case '[':
			prefix = s.header()
		default:
			s.pair(prefix, 0)
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table.
func (s *scanner) header() string {
	array := strings.HasPrefix(s.text[s.at:], "[[")
	s.at++
	if array {
		s.at++
	}
	parts, last := s.key()
	path := ""
	for i, p := range parts {
		path = join(path, p)
		if i == len(parts)-1 && array {
			s.tables[path]++
		}
		// A header below [[a]] belongs to the newest a.
		if n := s.tables[path]; n > 0 {
			s.mark(path, last)
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
		s.mark(path, last)
	}
	for s.peek() == ']' {
		s.at++
	}
	return path
}

// pair reads key = value.
func (s *scanner) pair(prefix string, depth int) {
	parts, last := s.key()
	path := prefix
	for _, p := range parts {
		path = join(path, p)
		s.mark(path, last)
	}
	s.skip(false)
	if s.peek() != '=' || len(parts) == 0 {
		s.broken = true
		return
	}
	s.at++
	s.skip(false)
	s.value(path, depth)
}

// key reads a dotted key and returns its parts and where the last begins.
func (s *scanner) key() (parts []string, last int) {
	for {
		s.skip(false)
		last = s.at
		switch s.peek() {
		case '"', '\'':
			parts = append(parts, s.str())
		default:
			for s.at < len(s.text) && !strings.ContainsRune(" \t\r\n=.[]{}#,\"'", rune(s.text[s.at])) {
				s.at++
			}
			if s.at == last {
				s.broken = true
				return parts, last
			}
			parts = append(parts, s.text[last:s.at])
		}
		s.skip(false)
		if s.peek() != '.' {
			return parts, last
		}
		s.at++
	}
}

func (s *scanner) value(path string, depth int) {
	if depth > maxNesting {
		s.broken = true
		return
	}
	switch s.peek() {
	case '"', '\'':
		s.str()
	case '[':
		s.array(path, depth)
	case '{':
		s.inline(path, depth)
	default:
		for s.at < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.at])) {
			s.at++
		}
	}
}

func (s *scanner) array(path string, depth int) {
	s.at++
	for n := 0; !s.broken; n++ {
		s.skip(true)
		if s.peek() == ']' {
			s.at++
			return
		}
		if s.peek() == 0 {
			s.broken = true
			return
		}
		element, start := fmt.Sprintf("%s[%d]", path, n), s.at
		s.mark(element, start)
		s.value(element, depth+1)
		s.separator()
		// An element of no length is none, and would be met for ever.
		s.broken = s.broken || s.at == start
	}
}

func (s *scanner) inline(path string, depth int) {
	s.at++
	for !s.broken {
		s.skip(true)
		if s.peek() == '}' {
			s.at++
			return
		}
		s.pair(path, depth+1)
		s.separator()
	}
}

func (s *scanner) separator() {
	s.skip(true)
	if s.peek() == ',' {
		s.at++
	}
}

// str reads a string of any of the four kinds and returns its value where it
// can be a key, that is, for the two kinds of one line.
func (s *scanner) str() string {
	quote := s.text[s.at : s.at+1]
	rest := s.text[s.at:]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(rest, long) {
		s.longStr(long)
		return ""
	}
	for i := 1; i < len(rest) && rest[i] != '\n'; i++ {
		switch {
		case rest[i] == '\\' && quote == `"`:
			i++
		case rest[i] == quote[0]:
			s.at += i + 1
			if quote == `"` {
				if v, err := strconv.Unquote(rest[:i+1]); err == nil {
					return v
				}
			}
			return rest[1:i]
		}
	}
	s.broken = true
	return ""
}

// longStr passes over a string between three quotes, which may itself end
// with one or two of them.
func (s *scanner) longStr(long string) {
	for i := s.at + 3; i < len(s.text); i++ {
		switch {
		case s.text[i] == '\\' && long[0] == '"':
			i++
		case strings.HasPrefix(s.text[i:], long):
			for i += 3; i < len(s.text) && s.text[i] == long[0]; i++ {
			}
			s.at = i
			return
		}
	}
	s.broken = true
}

// join adds a part to a path. Parts that look like paths themselves are
// quoted, so that no two keys share a path.
func join(path, part string) string {
	if strings.ContainsAny(part, ".[]\"") || part == "" {
		part = strconv.Quote(part)
	}
	if path == "" {
		return part
	}
	return path + "." + part
}
