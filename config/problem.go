package config

import (
	"fmt"
	"sort"
	"strings"
)

// maxProblems bounds what an Error lists; a file with more of them is better
// mended in steps.
const maxProblems = 30

// Position is a place in the file, both numbers from 1; 0 where it is not
// known.
type Position struct{ Line, Column int }

// Problem is one thing wrong with a file.
type Problem struct {
	Position
	Message string // what is wrong, and what would be right
}

// Error is a file that was refused.
type Error struct {
	File     string
	Problems []Problem // in the order of the file
	More     int       // problems beyond those listed
}

// Error gives one line for each problem: file:line:column: message.
func (e *Error) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines gives the lines of Error apart.
func (e *Error) Lines() []string {
	var lines []string
	for _, p := range e.Problems {
		at := e.File
		if p.Line > 0 {
			at += fmt.Sprintf(":%d", p.Line)
		}
		if p.Column > 0 {
			at += fmt.Sprintf(":%d", p.Column)
		}
		lines = append(lines, at+": "+p.Message)
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more problems", e.File, e.More))
	}
	return lines
}

// problems collects what is wrong while a file is walked.
type problems struct {
	found []Problem
}

func (p *problems) add(at Position, format string, args ...any) {
	p.found = append(p.found, Problem{at, fmt.Sprintf(format, args...)})
}

// err returns nil if nothing was wrong.
func (p *problems) err(file string) error {
	if len(p.found) == 0 {
		return nil
	}
	sort.SliceStable(p.found, func(i, j int) bool {
		a, b := p.found[i], p.found[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	e := &Error{File: file, Problems: p.found}
	if n := len(p.found); n > maxProblems {
		e.Problems, e.More = p.found[:maxProblems], n-maxProblems
	}
	return e
}
