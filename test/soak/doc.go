// Package soak lets a real tcpmitm carry mixed traffic for as long as is
// wanted, under rules that are drawn and changed all the time, and then judges
// whether anything has grown that should not.
//
// A Plan says how long, how much, and with which seed. Run makes a lab (see
// test/lab), and lets these go on side by side:
//
//   - the traffic (kinds.go, hostile.go): short and long connections of both
//     families, ended in every way by either side; each knows beforehand what it
//     must read, and within which time it must get on;
//   - the phases (phases.go): rules that are drawn, read again, switched and
//     changed; times without rules; times in which the hosts lose packets;
//   - the sampler (sample.go): what the process holds, every few seconds.
//
// Then all connections end, the traffic rests, and Judge says what is wrong.
//
// Which ports a connection goes to says what rules may do to it (class): leave
// it alone, hinder it in a way that TCP mends, end it, or fall silent. So a
// connection that must succeed is known to be one, whichever rules are in
// force at the moment.
//
// What is drawn depends on the seed and on nothing else; what it meets depends
// on time, as always with real programs.
package soak
