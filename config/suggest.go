package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggestion ends a message about a key that is not known: the key that it
// looks like, which may be one of another place, or else all known ones.
func suggestion(word string, known, others []string) string {
	if best := nearest(word, append(slices.Clone(known), others...)); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known are " + quoted(known)
}

// oneOfWords says which words a value may be.
func oneOfWords(words []string) string {
	if len(words) == 1 {
		return fmt.Sprintf("%q", words[0])
	}
	return "one of " + quoted(words)
}

// nearest returns the known word that is fewest typing mistakes away, if
// these are few for its length, and "" otherwise.
func nearest(word string, known []string) string {
	best, least := "", 0
	for _, k := range known {
		d := mistakes(strings.ToLower(word), k)
		if d <= 1+len(k)/4 && d < len(k) && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// mistakes is how many letters must be put in, left out, changed or swapped
// with their neighbour to make b of a (optimal string alignment).
func mistakes(a, b string) int {
	// More than this is never near to a key, and keeps the cost bounded.
	const maxWord = 64
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var d [maxWord + 1][maxWord + 1]int
	for i := range len(a) + 1 {
		d[i][0] = i
	}
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// quoted lists words: "a", "b" and "c".
func quoted(list []string) string {
	var s strings.Builder
	for i, w := range list {
		switch {
		case i > 0 && i == len(list)-1:
			s.WriteString(" and ")
		case i > 0:
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "%q", w)
	}
	return s.String()
}
