// Package expect judges what a tcpmitm has seen against what was wanted, for
// tests. A Judge is told of connections, over or open, and of how often faults
// have acted, and says whether all that was wanted is there, cannot be there
// any more, or is to be waited for. It asks nobody and knows no time: that is
// its caller's part.
package expect
