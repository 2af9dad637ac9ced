package config

import (
	"strings"
	"testing"
)

// stream makes a file of one rule with this policy, on line 3, column 11.
func stream(p string) string { return rule("stream = [{ " + p + " }]") }

// refusedRules are wrong faults, profiles, policies and timelines.
var refusedRules = []refusal{
	// What is done, on what, and where.
	{fault(`leg = "client", on = "data", do = "drop", by = "2s"`), `3:55: by in fault 1 of rule "r": do = "drop" has no use for it: take it out; it belongs to "delay", "stall" and "withhold-acks"`},
	{fault(`leg = "client", on = "data", do = "drop", copies = 2, size = 3`), `3:55: copies in fault 1 of rule "r": do = "drop" has no use for it: take it out; it belongs to "duplicate"
3:67: size in fault 1 of rule "r": do = "drop" has no use for it: take it out; it belongs to "split" and "dribble"`},
	{fault(`leg = "client", on = "data", do = "drop", rate = "1MB/s"`), `3:55: unknown key "rate" in fault 1 of rule "r": known are "do", "leg", "on", "nth", "first", "every", "probability", "bytes", "after", "for", "retransmits" and "dir"`},
	{fault(`leg = "client", on = "data", do = "drop", nht = 2`), `3:55: unknown key "nht" in fault 1 of rule "r": did you mean "nth"?`},
	{fault(`leg = "client", on = "established", do = "delay", by = "1s"`), `3:29: on in fault 1 of rule "r": do = "delay" is done to segments, and "established" is a moment: must be one of "syn", "syn-ack", "handshake-ack", "ack", "data", "fin", "last-ack", "rst", "window-update" and "any"`},
	{fault(`leg = "client", on = "fin", do = "reset"`), `3:29: on in fault 1 of rule "r": do = "reset" happens at a moment, and "fin" is a kind of segment: must be one of "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", do = "vanish"`), `3:11: on is missing in fault 1 of rule "r": must be one of "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", on = "establishd", do = "reset"`), `3:29: on in fault 1 of rule "r": unknown value "establishd": did you mean "established"?`},
	{fault(`leg = "client", on = "connect", do = "drop"`), `3:29: on in fault 1 of rule "r": unknown value "connect": must be one of "syn", "syn-ack", "handshake-ack", "ack", "data", "fin", "last-ack", "rst", "window-update", "any", "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", on = "fin", do = "lose"`), `3:41: do in fault 1 of rule "r": unknown value "lose": must be one of "delay", "drop", "duplicate", "reorder", "corrupt", "hold", "split", "rewrite", "reset", "fin", "vanish", "stall", "dribble", "icmp", "withhold-acks", "stretch-acks", "duplicate-acks", "refuse", "ignore" and "accept-then-die"`},
	{fault(`leg = "cilent", on = "fin", do = "drpo", colour = 1`), `3:13: leg in fault 1 of rule "r": unknown value "cilent": did you mean "client"? It must be one of "client" and "server"
3:41: do in fault 1 of rule "r": unknown value "drpo": did you mean "drop"?
3:54: unknown key "colour" in fault 1 of rule "r": known are "leg", "dir", "on", "do", "nth", "first", "every", "probability", "bytes", "after", "for", "retransmits", "by", "jitter", "copies", "behind", "until", "size", "window", "urgent", "flags", "ttl", "dscp", "to", "code" and "n"`},
	{fault(`leg = "client", dir = "in", on = "established", do = "reset"`), `3:29: dir in fault 1 of rule "r": do = "reset" is not done to segments of one direction: take dir out`},
	{fault(`leg = "client", dir = "out", on = "established", do = "stall", by = "1s"`), `3:29: dir in fault 1 of rule "r": do = "stall" is not done to segments of one direction: take dir out`},
	{fault(`leg = "client", dir = "out", on = "syn", do = "drop"`), `3:29: dir in fault 1 of rule "r": a SYN never goes out to a client: must be "in", or leave dir out`},
	{fault(`leg = "server", dir = "in", on = "syn", do = "drop"`), `3:29: dir in fault 1 of rule "r": a SYN never comes in from a server: must be "out", or leave dir out`},
	{fault(`leg = "client", dir = "out", on = "handshake-ack", do = "drop"`), `3:29: dir in fault 1 of rule "r": the third segment of a handshake never goes out to a client: must be "in", or leave dir out`},
	{fault(`leg = "server", dir = "in", on = "handshake-ack", do = "drop"`), `3:29: dir in fault 1 of rule "r": the third segment of a handshake never comes in from a server: must be "out", or leave dir out`},

	// Which segments.
	{fault(`leg = "client", on = "data", do = "drop", probability = 0`), `3:55: probability in fault 1 of rule "r": 0 never acts: take the fault out, or say more than 0 and at most 1, for example 0.01`},
	{fault(`leg = "client", on = "data", do = "drop", probability = 1.01`), `3:55: probability in fault 1 of rule "r": 1.01 is out of range: must be more than 0 and at most 1, for example 0.01`},
	{fault(`leg = "client", on = "data", do = "drop", probability = "1%"`), `3:55: probability in fault 1 of rule "r": must be a number, more than 0 and at most 1, for example 0.01, not a string`},
	{fault(`leg = "client", on = "data", do = "drop", nth = 0`), `3:55: nth in fault 1 of rule "r": 0 is out of range: must be from 1 to 1000000000`},
	{fault(`leg = "client", on = "data", do = "drop", nth = 2, first = 3`), `3:64: first in fault 1 of rule "r": nth is there already: say only one of "nth", "first" and "every"`},
	{fault(`leg = "client", on = "data", do = "drop", first = 3, every = 2, nth = 1`), `3:55: first in fault 1 of rule "r": nth is there already: say only one of "nth", "first" and "every"
3:66: every in fault 1 of rule "r": nth is there already: say only one of "nth", "first" and "every"`},
	{fault(`leg = "client", on = "data", do = "drop", every = -1`), `3:55: every in fault 1 of rule "r": -1 is out of range: must be from 1 to 1000000000`},
	{fault(`leg = "client", on = "ack", do = "drop", bytes = "0-100"`), `3:54: bytes in fault 1 of rule "r": "ack" carries no octets of the stream: take it out, or use on = "data"`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = "64KiB"`), `3:55: bytes in fault 1 of rule "r": "64KiB" is no part of a stream: must be from and to, for example "64KiB-128KiB", or "64KiB-" to the end`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = "128KiB-64KiB"`), `3:55: bytes in fault 1 of rule "r": "128KiB-64KiB" runs backwards: did you mean "64KiB-128KiB"?`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = "5-5"`), `3:55: bytes in fault 1 of rule "r": "5-5" is empty, for the last position is not included: must be from and to, for example "64KiB-128KiB", or "64KiB-" to the end`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = 65536`), `3:55: bytes in fault 1 of rule "r": must be a part of the stream in quotes, from and to, for example "64KiB-128KiB", or "64KiB-" to the end, not a whole number`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = "-5"`), `3:55: bytes in fault 1 of rule "r": "-5" is no part of a stream: must be from and to, for example "64KiB-128KiB", or "64KiB-" to the end`},
	{fault(`leg = "client", on = "data", do = "drop", bytes = "1 kilo-2 kilo"`), `3:55: bytes in fault 1 of rule "r": "1 kilo-2 kilo" is no part of a stream: must be from and to, for example "64KiB-128KiB", or "64KiB-" to the end`},
	{fault(`leg = "client", on = "syn-ack", do = "drop", after = "1s"`), `3:58: after in fault 1 of rule "r": it counts from ESTABLISHED, and "syn-ack" comes before: take it out`},
	{fault(`leg = "server", on = "syn", do = "drop", for = "1s"`), `3:54: for in fault 1 of rule "r": it counts from ESTABLISHED, and "syn" comes before: take it out`},
	{fault(`leg = "client", on = "data", do = "drop", for = "0s"`), `3:55: for in fault 1 of rule "r": "0s" is out of range: must be from 1ns to 24h`},
	{fault(`leg = "client", on = "data", do = "drop", after = "25h"`), `3:55: after in fault 1 of rule "r": "25h" is out of range: must be from 0s to 24h`},
	{fault(`leg = "client", on = "ack", do = "drop", retransmits = true`), `3:54: retransmits in fault 1 of rule "r": "ack" is never retransmitted: take it out`},
	{fault(`leg = "client", on = "data", do = "drop", retransmits = 1`), `3:55: retransmits in fault 1 of rule "r": must be true or false, without quotes, not a whole number`},
	{fault(`leg = "client", on = "established", do = "reset", nth = 2`), `3:63: nth in fault 1 of rule "r": "established" comes once in a connection, so there is nothing to count: take it out`},
	{fault(`leg = "client", on = "closing", do = "reset", bytes = "0-10"`), `3:59: bytes in fault 1 of rule "r": "closing" is a moment and no segment: take it out`},
	{fault(`leg = "client", on = "closing", do = "reset", for = "10s"`), `3:59: for in fault 1 of rule "r": "closing" is a moment and has no duration: take it out; after says how long after it the fault acts`},
	{fault(`leg = "client", do = "ignore", after = "10s"`), `3:44: after in fault 1 of rule "r": it counts from ESTABLISHED, and "syn" comes before: take it out`},

	// How.
	{fault(`leg = "client", on = "fin", do = "delay", by = "1s", jitter = "2s"`), `3:66: jitter in fault 1 of rule "r": 2s is more than by, which is 1s: nothing happens before its time`},
	{fault(`leg = "client", on = "data", do = "duplicate", copies = 0`), `3:60: copies in fault 1 of rule "r": 0 is out of range: must be from 1 to 16`},
	{fault(`leg = "client", on = "data", do = "duplicate", copies = 17`), `3:60: copies in fault 1 of rule "r": 17 is out of range: must be from 1 to 16`},
	{fault(`leg = "client", on = "data", do = "reorder", behind = 65`), `3:58: behind in fault 1 of rule "r": 65 is out of range: must be from 1 to 64`},
	{fault(`leg = "client", on = "data", do = "hold"`), `3:11: until is missing in fault 1 of rule "r": must be one of "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", on = "data", do = "hold", until = "fin"`), `3:55: until in fault 1 of rule "r": unknown value "fin": must be one of "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", on = "syn-ack", do = "hold", until = "established"`), `3:58: until in fault 1 of rule "r": "established" never comes while "syn-ack" is held: use do = "delay", or do = "drop"`},
	{fault(`leg = "server", on = "any", do = "hold", until = "closing"`), `3:54: until in fault 1 of rule "r": "closing" never comes while "any" is held: use do = "delay", or do = "drop"`},
	{fault(`leg = "client", on = "data", do = "split"`), `3:11: size is missing in fault 1 of rule "r": say into how many octets, for example size = 100`},
	{fault(`leg = "client", on = "data", do = "split", size = 0`), `3:56: size in fault 1 of rule "r": 0 is out of range: must be from 1B to 65535B`},
	{fault(`leg = "client", on = "syn-ack", do = "split", size = 10`), `3:29: on in fault 1 of rule "r": "syn-ack" carries no octets that could be split: must be "data"`},
	{fault(`leg = "client", on = "data", do = "rewrite"`), `3:11: fault 1 of rule "r" rewrites nothing: say one of "window", "urgent", "flags", "ttl" and "dscp"`},
	{fault(`leg = "client", on = "data", do = "rewrite", window = 65536`), `3:58: window in fault 1 of rule "r": 65536 is out of range: must be from 0 to 65535`},
	{fault(`leg = "client", on = "data", do = "rewrite", flags = ["syn", "fni"]`), `3:74: flags in fault 1 of rule "r": unknown flag "fni": must be one of "fin", "syn", "rst", "psh", "ack", "urg", "ece" and "cwr"`},
	{fault(`leg = "client", on = "data", do = "rewrite", flags = "syn"`), `3:58: flags in fault 1 of rule "r": must be a list, for example ["syn", "fin"], not a string`},
	{fault(`leg = "client", on = "data", do = "rewrite", flags = 256`), `3:58: flags in fault 1 of rule "r": 256 is out of range: must be from 0 to 255`},
	{fault(`leg = "client", on = "data", do = "rewrite", ttl = 0`), `3:58: ttl in fault 1 of rule "r": 0 is out of range: must be from 1 to 255`},
	{fault(`leg = "client", on = "data", do = "rewrite", dscp = 64`), `3:58: dscp in fault 1 of rule "r": 64 is out of range: must be from 0 to 63`},
	{fault(`leg = "client", dir = "in", on = "data", do = "rewrite", ttl = 3`), `3:70: ttl in fault 1 of rule "r": nobody reads it of what has arrived: take ttl out, or take dir = "in" out`},
	{fault(`leg = "client", on = "established", do = "reset", to = "all"`), `3:63: to in fault 1 of rule "r": unknown value "all": must be one of "client", "server" and "both"`},
	{fault(`leg = "client", on = "established", do = "stall"`), `3:11: by is missing in fault 1 of rule "r": say how long the window stays closed, for example by = "10s"`},
	{fault(`leg = "client", on = "established", do = "dribble"`), `3:11: size is missing in fault 1 of rule "r": say how large the window is at most, for example size = 100`},
	{fault(`leg = "client", on = "established", do = "dribble", size = "1MiB"`), `3:65: size in fault 1 of rule "r": 1MiB is out of range: must be from 1B to 65535B`},
	{fault(`leg = "client", on = "established", do = "icmp"`), `3:11: code is missing in fault 1 of rule "r": say what is unreachable, for example code = "host"`},
	{fault(`leg = "client", on = "established", do = "icmp", code = "hots"`), `3:62: code in fault 1 of rule "r": unknown value "hots": did you mean "host"?`},
	{fault(`leg = "client", on = "established", do = "icmp", code = 4`), `3:62: code in fault 1 of rule "r": 4 is "fragmentation needed" and belongs to path MTU discovery: must be another one, for example "host"`},
	{fault(`leg = "client", on = "established", do = "icmp", code = 16`), `3:62: code in fault 1 of rule "r": 16 is out of range: must be from 0 to 15`},
	{fault(`leg = "client", on = "established", do = "stretch-acks"`), `3:11: n is missing in fault 1 of rule "r": say for how many segments one acknowledgement is sent, for example n = 8`},
	{fault(`leg = "client", on = "established", do = "stretch-acks", n = 1`), `3:70: n in fault 1 of rule "r": 1 is out of range: must be from 2 to 1000`},
	{fault(`leg = "client", on = "established", do = "duplicate-acks", n = 101`), `3:72: n in fault 1 of rule "r": 101 is out of range: must be from 1 to 100`},
	{fault(`leg = "server", do = "refuse"`), `3:13: leg in fault 1 of rule "r": do = "refuse" is what becomes of a client that calls: must be "client"`},
	{fault(`leg = "server", do = "ignore"`), `3:13: leg in fault 1 of rule "r": do = "ignore" is what becomes of a client that calls: must be "client", or lose our SYN to the server with on = "syn", do = "drop"`},
	{fault(`leg = "server", do = "accept-then-die"`), `3:13: leg in fault 1 of rule "r": do = "accept-then-die" is what becomes of a client that calls: must be "client", or use on = "established", do = "reset"`},
	{fault(`leg = "server", on = "syn", do = "icmp", code = "host"`), `3:13: leg in fault 1 of rule "r": do = "icmp" is what becomes of a client that calls: must be "client", or be at a moment`},
	{fault(`leg = "client", on = "data", do = "icmp", code = "host"`), `3:29: on in fault 1 of rule "r": do = "icmp" happens at a moment, and "data" is a kind of segment: must be one of "established", "first-byte", "closing", "half-closed" and "syn"`},
	{fault(`leg = "client", on = "any", do = "reset"`), `3:29: on in fault 1 of rule "r": do = "reset" happens at a moment, and "any" is a kind of segment: must be one of "established", "first-byte", "closing" and "half-closed"`},
	{fault(`leg = "client", on = "data", do = "refuse"`), `3:29: on in fault 1 of rule "r": do = "refuse" is always on "syn": leave on out`},
	{rule("faults = [" + strings.Repeat("{},", maxFaults+1) + "]"), `3:1: faults in rule "r": has 65 elements, of which there may be 64`},

	// Profiles.
	{rule("action = \"reset\"\nclient = { mss = 1200 }\nsimultaneous-close = true"), `4:1: rule "r" has action = "reset", and client is for spliced connections only: take one of them out
5:1: rule "r" has action = "reset", and simultaneous-close is for spliced connections only: take one of them out`},
	{rule(`client = 1200`), `3:1: client in rule "r": must be a table, not a whole number`},
	{rule(`client = { mss = 40 }`), `3:12: mss in client of rule "r": 40 is out of range: must be 0, which leaves the option out, or from 88 to 65495`},
	{rule(`client = { mss = 70000 }`), `3:12: mss in client of rule "r": 70000 is out of range: must be from 0 to 65495`},
	{rule(`client = { widnow = 100 }`), `3:12: unknown key "widnow" in client of rule "r": did you mean "window"?`},
	{rule(`client = { window = 0 }`), `3:12: window in client of rule "r": 0 is out of range: must be from 1B to 1048560KiB`},
	{rule(`client = { window = "2GiB" }`), `3:12: window in client of rule "r": 2GiB is out of range: must be from 1B to 1048560KiB`},
	{rule(`client = { window = "64KiB", window_scale = false }`), `3:12: window in client of rule "r": 65536 octets cannot be said with this window_scale: must be at most 65535, or window_scale larger`},
	{rule(`client = { window = "1MiB", window_scale = 2 }`), `3:12: window in client of rule "r": 1048576 octets cannot be said with this window_scale: must be at most 262140, or window_scale larger`},
	{rule(`client = { window_scale = 15 }`), `3:12: window_scale in client of rule "r": 15 is out of range: must be from 0 to 14`},
	{rule(`client = { window_scale = true }`), `3:12: window_scale in client of rule "r": must be a shift count from 0 to 14, or false, which leaves the option out`},
	{rule(`client = { sack = "no" }`), `3:12: sack in client of rule "r": must be true or false, without quotes, not a string`},
	{rule(`server = { isn = -1 }`), `3:12: isn in server of rule "r": -1 is out of range: must be a number from 0 to 4294967295, "random" or "clock"`},
	{rule(`server = { isn = 4294967296 }`), `3:12: isn in server of rule "r": 4294967296 is out of range: must be a number from 0 to 4294967295, "random" or "clock"`},
	{rule(`server = { isn = "clck" }`), `3:12: isn in server of rule "r": unknown value "clck": must be a number from 0 to 4294967295, "random" or "clock"`},
	{rule(`server = { isn = 1.5 }`), `3:12: isn in server of rule "r": must be a number from 0 to 4294967295, "random" or "clock", not a number with a fraction`},
	{rule(`server = { ack_delay = "2m" }`), `3:12: ack_delay in server of rule "r": "2m" is out of range: must be from 0s to 1m`},
	{rule(`server = { time_wait = 60 }`), `3:12: time_wait in server of rule "r": must be a time with its unit in quotes, for example "300ms" or "2s", not a whole number`},
	{rule(`server = { retries = 33 }`), `3:12: retries in server of rule "r": 33 is out of range: must be from 0 to 32`},
	{rule(`server = { user_timeout = "50ms" }`), `3:12: user_timeout in server of rule "r": "50ms" is out of range: must be from 100ms to 24h`},
	{rule(`server = { keep_alive = true }`), `3:12: keep_alive in server of rule "r": does not say after how long: must be a time such as "2h", { idle = "2h", interval = "75s", count = 9 }, or false`},
	{rule(`server = { keep_alive = 7200 }`), `3:12: keep_alive in server of rule "r": must be a time such as "2h", { idle = "2h", interval = "75s", count = 9 }, or false, not a whole number`},
	{rule(`server = { keep_alive = "10ms" }`), `3:12: keep_alive in server of rule "r": "10ms" is out of range: must be from 1s to 24h`},
	{rule(`server = { keep_alive = { interval = "1s" } }`), `3:12: idle is missing in keep_alive of server of rule "r": say after how long a silent peer is probed, for example idle = "2h"`},
	{rule(`server = { keep_alive = { idle = "1h", cuont = 3 } }`), `3:40: unknown key "cuont" in keep_alive of server of rule "r": did you mean "count"?`},
	{rule(`server = { congestion = "bbr" }`), `3:12: congestion in server of rule "r": unknown value "bbr": must be one of "cubic" and "newreno"`},
	{rule(`server = { congestion = "newrno" }`), `3:12: congestion in server of rule "r": unknown value "newrno": did you mean "newreno"? It must be one of "cubic" and "newreno"`},
	{rule(`server = { initial_window = 0 }`), `3:12: initial_window in server of rule "r": 0 is out of range: must be from 1 to 1000`},
	{rule(`server = { ttl = 0 }`), `3:12: ttl in server of rule "r": 0 is out of range: must be from 1 to 255`},
	{rule(`server = { dscp = 64 }`), `3:12: dscp in server of rule "r": 64 is out of range: must be from 0 to 63`},
	{rule(`simultaneous-close = "yes"`), `3:1: simultaneous-close in rule "r": must be true or false, without quotes, not a string`},
	{rule(`simultaneous_open = true`), `3:1: unknown key "simultaneous_open" in rule "r": did you mean "simultaneous-open"?`},
	{rule(`enabled = 0`), `3:1: enabled in rule "r": must be true or false, without quotes, not a whole number`},

	// Stream policies.
	{rule(`stream = { to = "client" }`), `3:1: stream in rule "r": must be a list, for example [{ to = "client", do = "throttle", rate = "1MB/s" }], not a table`},
	{rule(`stream = [1]`), `3:11: stream policy 1 of rule "r" must be a table, for example { to = "client", do = "throttle", rate = "1MB/s" }, not a whole number`},
	{stream(`do = "latency", by = "1s"`), `3:11: to is missing in stream policy 1 of rule "r": must be one of "client" and "server"`},
	{stream(`to = "client"`), `3:11: do is missing in stream policy 1 of rule "r": must be one of "latency", "throttle", "slice", "limit", "replace", "insert", "discard", "corrupt" and "hold-until"`},
	{stream(`to = "client", do = "throtle", rate = "1MB/s"`), `3:28: do in stream policy 1 of rule "r": unknown value "throtle": did you mean "throttle"?`},
	{stream(`to = "client", do = "latency"`), `3:11: by is missing in stream policy 1 of rule "r": say how much later the octets are handed on, for example by = "300ms"`},
	{stream(`to = "client", do = "latency", by = "10ms", jitter = "20ms"`), `3:57: jitter in stream policy 1 of rule "r": 20ms is more than by, which is 10ms: nothing happens before its time`},
	{stream(`to = "client", do = "latency", by = "10ms", rate = "1MB/s"`), `3:57: rate in stream policy 1 of rule "r": do = "latency" has no use for it: take it out; it belongs to "throttle"`},
	{stream(`to = "client", do = "throttle"`), `3:11: rate is missing in stream policy 1 of rule "r": say how fast, for example rate = "1MB/s"`},
	{stream(`to = "client", do = "throttle", rate = "1MB"`), `3:45: rate in stream policy 1 of rule "r": "1MB" is no rate: must be a rate with its unit in quotes, for example "1MB/s", "100KiB/s" or "8Mbit/s"`},
	{stream(`to = "client", do = "throttle", rate = 1000`), `3:45: rate in stream policy 1 of rule "r": must be a rate with its unit in quotes, for example "1MB/s", "100KiB/s" or "8Mbit/s", not a whole number`},
	{stream(`to = "client", do = "throttle", rate = "0MB/s"`), `3:45: rate in stream policy 1 of rule "r": "0MB/s" is out of range: must be from 1B/s to 100GB/s`},
	{stream(`to = "client", do = "throttle", rate = "nanMB/s"`), `3:45: rate in stream policy 1 of rule "r": "nanMB/s" is no rate: must be a rate with its unit in quotes, for example "1MB/s", "100KiB/s" or "8Mbit/s"`},
	{stream(`to = "client", do = "throttle", rate = "1MB/s", burst = 0`), `3:61: burst in stream policy 1 of rule "r": 0 is out of range: must be from 1B to 1GiB`},
	{stream(`to = "client", do = "slice", size = 0`), `3:42: size in stream policy 1 of rule "r": 0 is out of range: must be from 1B to 1MiB`},
	{stream(`to = "client", do = "slice", size = 10, gap = "2h"`), `3:53: gap in stream policy 1 of rule "r": "2h" is out of range: must be from 0s to 1h`},
	{stream(`to = "client", do = "limit"`), `3:11: bytes is missing in stream policy 1 of rule "r": say how many octets pass, for example bytes = "64KiB"`},
	{stream(`to = "client", do = "limit", bytes = "-1B"`), `3:42: bytes in stream policy 1 of rule "r": "-1B" is no size: must be a size with its unit in quotes, for example "64KiB" or "1GiB"`},
	{stream(`to = "client", do = "limit", bytes = 10, then = "rst"`), `3:54: then in stream policy 1 of rule "r": unknown value "rst": did you mean "reset"? It must be one of "fin", "reset" and "vanish"`},
	{stream(`to = "client", do = "replace", with = "x"`), `3:11: stream policy 1 of rule "r" says too little: it needs one of "find" and "pattern"`},
	{stream(`to = "client", do = "replace", find = "x"`), `3:11: with is missing in stream policy 1 of rule "r": say what is put in its place, for example with = "hello", or with = "" to remove it`},
	{stream(`to = "client", do = "replace", find = "", with = "x"`), `3:44: find in stream policy 1 of rule "r": has 0 octets: must have 1 to 65536`},
	{stream(`to = "client", do = "replace", find = "a", pattern = "b", with = "x"`), `3:56: pattern in stream policy 1 of rule "r": find is there already: say only one of "find" and "pattern"`},
	{stream(`to = "client", do = "replace", pattern = "(", with = "x"`), "3:44: pattern in stream policy 1 of rule \"r\": \"(\" is no regular expression: missing closing ): `(`; see https://golang.org/s/re2syntax"},
	{stream(`to = "client", do = "replace", pattern = "a*", with = "x"`), `3:44: pattern in stream policy 1 of rule "r": "a*" matches where there is nothing: must match at least one octet`},
	{stream(`to = "client", do = "replace", pattern = "(a)(?P<n>b)", with = "$2 ${n} $$ ${1}x $1x"`), `3:69: with in stream policy 1 of rule "r": refers to a group "1x" that pattern does not have: write ${1} for the first group, or $$ for a dollar`},
	{stream(`to = "client", do = "replace", find = [13, 300], with = "x"`), `3:56: find in stream policy 1 of rule "r": 300 is no octet: must be a whole number from 0 to 255`},
	{stream(`to = "client", do = "replace", find = 13, with = "x"`), `3:44: find in stream policy 1 of rule "r": must be a string, or a list of octets such as [0x0d, 0x0a], not a whole number`},
	{stream(`to = "client", do = "insert", at = 10`), `3:11: with is missing in stream policy 1 of rule "r": say what is inserted, for example with = "hello"`},
	{stream(`to = "client", do = "insert", with = ""`), `3:43: with in stream policy 1 of rule "r": has 0 octets: must have 1 to 65536`},
	{stream(`to = "client", do = "discard"`), `3:11: bytes is missing in stream policy 1 of rule "r": say which octets are left out, for example bytes = "64KiB-128KiB"`},
	{stream(`to = "client", do = "corrupt"`), `3:11: stream policy 1 of rule "r" says too little: it needs one of "every" and "bytes"`},
	{stream(`to = "client", do = "corrupt", every = 0`), `3:44: every in stream policy 1 of rule "r": 0 is out of range: must be from 1 to 1000000000`},
	{stream(`to = "client", do = "hold-until"`), `3:11: stream policy 1 of rule "r" says too little: it needs one of "until", "by" and "bytes"`},
	{stream(`to = "client", do = "hold-until", by = "1s", bytes = 10`), `3:58: bytes in stream policy 1 of rule "r": by is there already: say only one of "until", "by" and "bytes"`},
	{stream(`to = "client", do = "hold-until", until = "data"`), `3:47: until in stream policy 1 of rule "r": unknown value "data": must be one of "established", "first-byte", "closing" and "half-closed"`},
	{stream(`to = "client", do = "hold-until", bytes = 0`), `3:47: bytes in stream policy 1 of rule "r": 0 is out of range: must be from 1B to 1048576TiB`},

	// Links.
	{rule(`link = 3`), `3:1: link in rule "r": must be the name of a link, for example "satellite" or { name = "satellite", leg = "server" }, not a whole number`},
	{rule(`link = "satelite"`), `3:1: link in rule "r": unknown value "satelite": did you mean "satellite"? It must be one of "3g", "dsl", "satellite" and "lossy-wifi"`},
	{rule(`link = { leg = "client" }`), `3:1: name is missing in link of rule "r": must be one of "3g", "dsl", "satellite" and "lossy-wifi"`},
	{rule(`link = { name = "dsl", leg = "both" }`), `3:24: leg in link of rule "r": unknown value "both": must be one of "client" and "server"`},
	{rule(`link = { nmae = "dsl" }`), `3:1: name is missing in link of rule "r": must be one of "3g", "dsl", "satellite" and "lossy-wifi"
3:10: unknown key "nmae" in link of rule "r": did you mean "name"?`},
	{rule("action = \"drop\"\nlink = \"dsl\""), `4:1: rule "r" has action = "drop", and link is for spliced connections only: take one of them out`},

	// Timelines.
	{rule(`timeline = "30s"`), `3:1: timeline in rule "r": must be a list, for example [{ at = "30s", for = "10s" }], not a string`},
	{rule(`timeline = [30]`), `3:13: timeline entry 1 of rule "r" must be a table, for example { at = "30s", for = "10s" }, not a whole number`},
	{rule(`timeline = [{ for = "10s" }]`), `3:13: at is missing in timeline entry 1 of rule "r": say when, counted from the start, for example at = "30s"`},
	{rule(`timeline = [{ at = "-1s" }]`), `3:15: at in timeline entry 1 of rule "r": "-1s" is out of range: must be from 0s to 10000h`},
	{rule(`timeline = [{ at = "1s", for = "0s" }]`), `3:26: for in timeline entry 1 of rule "r": "0s" is out of range: must be from 1ns to 10000h`},
	{rule(`timeline = [{ at = "1s", until = "3s" }]`), `3:26: unknown key "until" in timeline entry 1 of rule "r": known are "at" and "for"`},
	{rule(`timeline = [{ at = "1s" }, { at = "5s" }]`), `3:30: at in timeline entry 2 of rule "r": the entry before has no end: give it for, or take this one out`},
	{rule(`timeline = [{ at = "10s", for = "10s" }, { at = "15s" }]`), `3:44: at in timeline entry 2 of rule "r": 15s is before the entry before it ends, at 20s: must be later`},
}

func TestRefusedRules(t *testing.T) {
	if len(refusedRules) < 40 {
		t.Errorf("only %d wrong files", len(refusedRules))
	}
	for _, v := range refusedRules {
		v.check(t)
	}
}
