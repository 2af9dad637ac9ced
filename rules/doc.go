// Package rules decides which connection gets which treatment.
//
// A Set is compiled once with New and never changes afterwards, so any number
// of goroutines may ask it: the only things that move are the counters and the
// switches of its rules, and these are atomic. A rule that is to say something
// else is a new rule in a new Set, which goes on with the counters of the old
// one (Succeed, see life.go). First returns the first rule that is in force and
// matches a connection, or nil, which means a plain splice. It allocates nothing, and
// its cost does not grow with the number of rules that cannot match: each of
// the four dimensions (client and server address, client and server port) is
// cut into intervals in which the same rules match, and a connection needs one
// binary search in each (see index.go).
//
// Chance is no chance: whether a rule with a probability takes a connection
// follows from the rule's seed and from how many connections came to the rule
// before, so that a run can be repeated (see chance.go). First numbers the
// connections that a rule takes, and Draw gives whoever carries out a fault its
// share of the same chance.
//
// The package knows nothing of how a treatment is carried out.
package rules
