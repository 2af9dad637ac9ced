// Package lab is a gateway in a box: three network namespaces, client,
// gateway and server, joined by two veth pairs, in which real programs talk
// through the kernel's TCP and, on the gateway, through tcpmitm.
//
//	client eth0 ---- lan0 gateway wan0 ---- eth0 server
//	10.1.0.2              10.1.0.1  10.2.0.1         10.2.0.2
//	fd01::2               fd01::1   fd02::1          fd02::2
//
// New makes a lab and removes it when the test ends. Everything that it
// starts runs inside the namespaces, is bounded in time and is killed with
// the lab. CloseOnSignal removes all labs of the process on Ctrl-C, and Sweep
// removes what a killed run left behind; names carry the process id, so that
// runs side by side do not meet.
//
// With Plain set, StartProxy starts nothing and the gateway only forwards:
// that proves the mechanics of a test apart from what it tests.
//
// The judge (judge_*_test.go) has TCPs of its own on one end or both, with
// addresses that no host has: it says and hears raw packets, by plays that
// judge_play_test.go explains, and holds all that it hears against what every
// segment must be.
//
// All of this needs root. Without it New fails the test and says so.
package lab
