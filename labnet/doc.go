// Package labnet makes three hosts in network namespaces, client -- gateway --
// server, for as long as somebody wants to try something between them.
//
//	client 10.1.0.2, fd01::2 -- lan0 gateway wan0 -- server 10.2.0.2, fd02::2
//
// The namespaces have names as ip-netns(8) knows them, so that anybody may
// look in (`ip netns exec tcpmitm-PID-client ss -t`). Inside, the names client,
// gateway and server resolve.
//
// Make makes a Net and removes what a killed process has left of its own; the
// caller closes it. Enter is called by a process of its own, which becomes a
// program inside. What a Net has on the machine is: three namespaces and what
// runs in them, a folder below /run/tcpmitm-lab, and three links below
// /etc/netns. Close removes all of it.
//
// A Net belongs to one goroutine. Its folder is locked, and a lock ends with
// its process: that is how the living are told from the dead.
package labnet
