// Package control is the one place where a running tcpmitm is asked what it
// does: HTTP with JSON over a unix socket, and, if wanted, metrics for
// Prometheus on a TCP address.
//
// Bind and Listen open the socket, Serve answers on it, Client asks. What is asked for
// is collected by functions that run on each shard's own goroutine (see
// splice.Shard.Do), so that an answer needs no lock on the data path.
// docs/openapi.yaml describes all of it for other programs.
//
//	GET /v1/status        how the program is, see Status
//	GET /v1/connections   live connections, both legs; ?limit=N, ?all=true, ?filter=TEXT
//	                      (trace.ParseSelection); see Connections
//	GET /v1/events        what happens from now on, one JSON object a line (trace.Event);
//	                      ?filter=TEXT (trace.ParseFilter), ?snap=N octets of payload
//	GET /v1/capture       both legs as pcapng; ?filter=TEXT, ?snap=N
//	GET /v1/ends          connections that are over, see Ends
//	GET /v1/counters      what there is and what was counted, see Counters
//	GET /v1/rules         the rules in force and what they have done, see Rules
//
//	POST /v1/connections/kill
//	                      ends connections, see Kill
//	POST /v1/rules/enable, /v1/rules/disable, /v1/rules/set, /v1/rules/reload
//	                      change them, see RuleChange and Rulebook
package control
