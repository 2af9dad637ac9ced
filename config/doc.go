// Package config reads config.toml.
//
// Load turns a file into a Config, in which every value is there and legal,
// or refuses it with an *Error that names every problem found, each with its
// file, line and column and with what would be right. Nothing in a file is
// ever ignored: a key that nobody knows is a problem, and so is one that has
// no meaning where it stands. Change alters one rule of a Config in the same
// words, with the same messages.
//
// The syntax of TOML is the toml package's business. This package walks what
// that has parsed, because only the walk knows all problems and not the first
// alone, and finds the place of a value by scanning the text (locate.go).
package config
