package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rule makes a file of one rule with these lines in it; they begin on line 3.
func rule(lines string) string { return "[[rule]]\nname = \"r\"\n" + lines }

// fault makes a file of one rule with this fault, on line 3, column 11.
func fault(f string) string { return rule("faults = [{ " + f + " }]") }

// refusal is a wrong file and all that it is told, without the file's name.
type refusal struct{ text, want string }

var refused = []refusal{
	// The syntax.
	{"[intercept", `1:10: expected '.' or ']' to end table name, but got the end of the file instead`},
	{"a = ", `1:4: unexpected EOF; expected value`},
	{"[log]\nlevel = \"info\"\nlevel = \"warn\"", `3:16: Key 'log.level' has already been defined.`},

	// Keys and tables.
	{"[intercept]\nprots = [80]", `2:1: unknown key "prots" in [intercept]: did you mean "ports"?`},
	{"[intercept]\ncolour = 1", `2:1: unknown key "colour" in [intercept]: known are "mode", "ports", "servers", "clients", "client_side", "loopback", "queues", "when_down", "port_forwards", "queue_base", "tun_prefix", "mark", "zone", "drain" and "guard"`},
	{"[intercpt]\nports = [80]", `1:2: unknown key "intercpt" in the file: did you mean "intercept"?`},
	{"[[rules]]\nname = \"x\"", `1:3: unknown key "rules" in the file: did you mean "rule"?`},
	{"mode = \"gateway\"", `1:1: unknown key "mode" in the file: known are "intercept", "handshake", "limits", "timeouts", "control", "log", "journal" and "rule"`},
	{"[log]\nlevel.x = 1", `2:7: level in [log]: must be one of "debug", "info", "warn" and "error", not a table`},
	{"log = 3", `1:1: log in the file: must be a table, not a whole number`},
	{"[[log]]\nlevel = \"info\"", `1:3: log in the file: must be a table, not a list`},
	{"[Log]", `1:2: unknown key "Log" in the file: did you mean "log"?`},
	{"[handshake]\nsyn_cookie = \"auto\"", `2:1: unknown key "syn_cookie" in [handshake]: did you mean "syn_cookies"?`},
	{"[limits]\nhalfopen = 1", `2:1: unknown key "halfopen" in [limits]: did you mean "half_open"?`},
	{"[journal]\nfile = 1", `2:1: file in [journal]: must be the path of a file in quotes, for example "/var/log/tcpmitm.journal", or "" for none, not a whole number`},
	{"[journal]\nfile = \"faults.json\"", `2:1: file in [journal]: "faults.json" does not begin with a slash: must be the path of a file in quotes, for example "/var/log/tcpmitm.journal", or "" for none`},
	{"[journal]\nfile = \"/var/log/\"", `2:1: file in [journal]: "/var/log/" is a folder: must be the path of a file in quotes, for example "/var/log/tcpmitm.journal", or "" for none`},
	{"[journal]\nsize = \"1KiB\"", `2:1: size in [journal]: 1KiB is out of range: must be from 64KiB to 1TiB`},
	{"[journal]\nkeep = -1", `2:1: keep in [journal]: -1 is out of range: must be from 0 to 1000`},
	{"[control]\nsock = \"/x\"", `2:1: unknown key "sock" in [control]: did you mean "socket"?`},

	// [intercept].
	{"[intercept]\nmode = \"router\"", `2:1: mode in [intercept]: unknown value "router": must be one of "gateway" and "local"`},
	{"[intercept]\nmode = \"gatway\"", `2:1: mode in [intercept]: unknown value "gatway": did you mean "gateway"? It must be one of "gateway" and "local"`},
	{"[intercept]\nloopback = \"always\"", `2:1: loopback in [intercept]: with mode = "gateway" the host's own connections are left alone: set mode = "local", or leave loopback out`},
	{"[intercept]\nmode = \"local\"\nclient_side = [\"lan0\"]", `3:1: client_side in [intercept]: with mode = "local" the clients are on this host: leave client_side out, or set mode = "gateway"`},
	{"[intercept]\nmark = 3", `2:1: mark in [intercept]: 0x3 has 2 bits set: must have one, for example 0x08000000`},
	{"[intercept]\nports = [" + strings.Repeat("80,", 257) + "]", `2:1: ports in [intercept]: has 257 elements, of which there may be 256`},
	{"[intercept]\nports = 80", `2:1: ports in [intercept]: must be a list, for example [80, "8000-8099"], not a whole number`},
	{"[intercept]\nports = [80, \"80-70\"]", `2:14: ports in [intercept]: "80-70" runs backwards: did you mean "70-80"?`},
	{"[intercept]\nports = [\n  80,\n  70000\n]", `4:3: ports in [intercept]: 70000 is no port: must be a port from 1 to 65535, or a range such as "8000-8099"`},
	{"[intercept]\nports = [\"http\"]", `2:10: ports in [intercept]: "http" is no port: must be a port from 1 to 65535, or a range such as "8000-8099"`},
	{"[intercept]\nports = [0]", `2:10: ports in [intercept]: 0 is no port: must be a port from 1 to 65535, or a range such as "8000-8099"`},
	{"[intercept]\nports = [1.5]", `2:10: ports in [intercept]: must be a port from 1 to 65535, or a range such as "8000-8099", not a number with a fraction`},
	{"[intercept]\nservers = [\"10.0.0.1/8\"]", `2:12: servers in [intercept]: "10.0.0.1/8" has bits set behind its first 8: did you mean "10.0.0.0/8"?`},
	{"[intercept]\nservers = [\"fd00::1/8\"]", `2:12: servers in [intercept]: "fd00::1/8" has bits set behind its first 8: did you mean "fd00::/8"?`},
	{"[intercept]\nservers = [\"10.0.0.0/33\"]", `2:12: servers in [intercept]: "10.0.0.0/33" is no network: must be a network such as "10.0.0.0/8" or "fd00::/8"`},
	{"[intercept]\nclients = [\"10.0.0.1\"]", `2:12: clients in [intercept]: "10.0.0.1" is an address, not a network: did you mean "10.0.0.1/32"?`},
	{"[intercept]\nclients = [\"fd00::1\"]", `2:12: clients in [intercept]: "fd00::1" is an address, not a network: did you mean "fd00::1/128"?`},
	{"[intercept]\nclients = [\"::ffff:10.0.0.0/104\"]", `2:12: clients in [intercept]: "::ffff:10.0.0.0/104" is IPv4 written as IPv6: write it as "10.0.0.0/8"`},
	{"[intercept]\nclients = [10]", `2:12: clients in [intercept]: must be a network such as "10.0.0.0/8" or "fd00::/8" in quotes, not a whole number`},
	{"[intercept]\nclients = \"10.0.0.0/8\"", `2:1: clients in [intercept]: must be a list, for example ["10.0.0.0/8", "fd00::/8"], not a string`},
	{"[intercept]\nclient_side = [\"lan 0\"]", "2:16: client_side in [intercept]: \"lan 0\" is no name of a network device: must be 1 to 15 letters and digits, as `ip link` shows it"},
	{"[intercept]\nclient_side = [\"a-name-far-too-long\"]", "2:16: client_side in [intercept]: \"a-name-far-too-long\" is no name of a network device: must be 1 to 15 letters and digits, as `ip link` shows it"},
	{"[intercept]\nqueues = -1", `2:1: queues in [intercept]: -1 is out of range: must be from 0 to 64`},
	{"[intercept]\nqueues = 2.0", `2:1: queues in [intercept]: must be a whole number from 0 to 64, not a number with a fraction`},
	{"[intercept]\nqueues = 10\nqueue_base = 65530", `3:1: queue_base in [intercept]: 65530 with 10 queues goes beyond the last queue, 65535: choose a lower one`},
	{"[intercept]\nwhen_down = true", `2:1: when_down in [intercept]: must be one of "bypass" and "block", not true or false`},
	{"[intercept]\nport_forwards = \"yes\"", `2:1: port_forwards in [intercept]: must be true or false, without quotes, not a string`},
	{"[intercept]\ntun_prefix = \"fourteen-chars\"", `2:1: tun_prefix in [intercept]: "fourteen-chars" cannot begin the name of a network device: must be 1 to 13 letters, digits, '.', '_' or '-'`},
	{"[intercept]\nmark = 0", `2:1: mark in [intercept]: 0 is out of range: must be from 1 to 4294967295`},
	{"[intercept]\nzone = 70000", `2:1: zone in [intercept]: 70000 is out of range: must be from 1 to 65535`},
	{"[intercept]\ndrain = 5", `2:1: drain in [intercept]: must be a time with its unit in quotes, for example "300ms" or "2s", not a whole number`},
	{"[intercept]\ndrain = \"5\"", `2:1: drain in [intercept]: "5" is no time: write a number and a unit, for example "300ms", "2s" or "1m30s"`},
	{"[intercept]\nguard = \"always\"", `2:1: guard in [intercept]: "always" is no time: write a number and a unit, for example "300ms", "2s" or "1m30s"`},
	{"[intercept]\nguard = 3", `2:1: guard in [intercept]: must be a time with its unit in quotes, for example "300ms" or "2s", not a whole number`},
	{"[intercept]\nguard = \"25h\"", `2:1: guard in [intercept]: "25h" is out of range: must be from 0s to 24h`},
	{"[intercept]\ndrain = \"-5s\"", `2:1: drain in [intercept]: "-5s" is out of range: must be from 0s to 1h`},

	// The other sections.
	{"[handshake]\norder = \"client\"", `2:1: order in [handshake]: unknown value "client": must be one of "server-first" and "client-first"`},
	{"[handshake]\nsyn_cookies = false", `2:1: syn_cookies in [handshake]: must be one of "auto", "always" and "never", not true or false`},
	{"[limits]\nconnections = 0", `2:1: connections in [limits]: 0 is out of range: must be from 1 to 10000000`},
	{"[limits]\nhalf_open = -4096", `2:1: half_open in [limits]: -4096 is out of range: must be from 1 to 10000000`},
	{"[limits]\nmemory = \"1 gig\"", `2:1: memory in [limits]: "1 gig" is no size: must be a size with its unit in quotes, for example "64KiB" or "1GiB"`},
	{"[limits]\nmemory = \"-1GiB\"", `2:1: memory in [limits]: "-1GiB" is no size: must be a size with its unit in quotes, for example "64KiB" or "1GiB"`},
	{"[limits]\nmemory = \"1KiB\"", `2:1: memory in [limits]: 1KiB is out of range: must be from 64MiB to 1TiB`},
	{"[limits]\nmemory = 1.5", `2:1: memory in [limits]: must be a size with its unit in quotes, for example "64KiB" or "1GiB", not a number with a fraction`},
	{"[limits]\nper_source = -1", `2:1: per_source in [limits]: -1 is out of range: must be from 0 to 10000000`},
	{"[limits]\nhalf_open_per_source = \"8\"", `2:1: half_open_per_source in [limits]: must be a whole number from 0 to 10000000, not a string`},
	{"[handshake]\nsyn_retries = 33", `2:1: syn_retries in [handshake]: 33 is out of range: must be from 0 to 32`},
	{"[handshake]\nsyn_ack_retries = -1", `2:1: syn_ack_retries in [handshake]: -1 is out of range: must be from 0 to 32`},
	{"[timeouts]\nhandshake = \"11m\"", `2:1: handshake in [timeouts]: "11m" is out of range: must be from 0s to 10m`},
	{"[timeouts]\nidle = \"10ms\"", `2:1: idle in [timeouts]: "10ms" is out of range: must be "0s", which is never, or from 1s to 168h`},
	{"[timeouts]\nhalf_closed = 60", `2:1: half_closed in [timeouts]: must be a time with its unit in quotes, for example "300ms" or "2s", not a whole number`},
	{"[timeouts]\ntime_wait = \"1h\"", `2:1: time_wait in [timeouts]: "1h" is out of range: must be from 0s to 10m`},
	{"[timeouts]\nuser_timeout = \"0s\"", `2:1: user_timeout in [timeouts]: "0s" is out of range: must be from 100ms to 24h`},
	{"[timeouts]\nkeep_alive = true", `2:1: keep_alive in [timeouts]: does not say after how long: must be a time such as "2h", { idle = "2h", interval = "75s", count = 9 }, or false`},
	{"[timeouts]\nidel = \"1h\"", `2:1: unknown key "idel" in [timeouts]: did you mean "idle"?`},
	{"[limits]\nover_limit = \"splice\"", `2:1: over_limit in [limits]: unknown value "splice": must be one of "pass", "reset" and "drop"`},
	{"[control]\nsocket = \"tcpmitm.sock\"", `2:1: socket in [control]: "tcpmitm.sock" does not begin with a slash: must be the path of a socket in quotes, for example "/run/tcpmitm/control.sock"`},
	{"[control]\nsocket = \"/" + strings.Repeat("x", 107) + "\"", `2:1: socket in [control]: is 108 octets long, of which the kernel takes 107`},
	{"[control]\nmetrics = \"9380\"", `2:1: metrics in [control]: "9380" is no address with a port: write it as "127.0.0.1:9380" or "[::1]:9380"`},
	{"[control]\nmetrics = \"localhost:http\"", `2:1: metrics in [control]: "localhost:http" has no port from 1 to 65535 behind its last colon`},
	{"[log]\nlevel = \"verbose\"", `2:1: level in [log]: unknown value "verbose": must be one of "debug", "info", "warn" and "error"`},
	{"[log]\nformat = \"jsn\"", `2:1: format in [log]: unknown value "jsn": did you mean "json"? It must be one of "text" and "json"`},

	// Rules.
	{"[rule]\nname = \"x\"", `1:2: rules are a list of tables: write [[rule]] with two brackets`},
	{"rule = [1]", `1:9: rule 1 must be a table, not a whole number: write [[rule]]`},
	{"[[rule]]\naction = \"pass\"", `1:3: rule 1 has no name: give it a name in quotes, for example name = "late goodbye"`},
	{"[[rule]]\nname = \"\"", `2:1: name in rule 1: has 0 characters: must have 1 to 64`},
	{"[[rule]]\nname = 7", `2:1: name in rule 1: must be a name in quotes, for example name = "late goodbye", not a whole number`},
	{"[[rule]]\nname = \"a\\nb\"", `2:1: name in rule 1: "a\nb" has characters that cannot be printed: must be a name in quotes, for example name = "late goodbye"`},
	{rule("[[rule]]\nname = \"s\"\n[[rule]]\nname = \"r\""), `6:1: two rules are called "r", the first one on line 2: give each a name of its own`},
	{rule("action = \"refuse\""), `3:1: action in rule "r": unknown value "refuse": must be one of "splice", "pass", "reset" and "drop"`},
	{rule("seed = -1"), `3:1: seed in rule "r": -1 is out of range: must be from 0 to 9223372036854775807`},
	{rule("match = [80]"), `3:1: match in rule "r": must be a table, not a list`},
	{rule("match = { port = [80] }"), `3:11: unknown key "port" in match of rule "r": did you mean "ports"?`},
	{rule("match = { ports = [80], probability = 1.5 }"), `3:25: probability in match of rule "r": 1.5 is out of range: must be from 0 to 1, for example 0.5`},
	{rule("match = { probability = -0.1 }"), `3:11: probability in match of rule "r": -0.1 is out of range: must be from 0 to 1, for example 0.5`},
	{rule("match = { probability = nan }"), `3:11: probability in match of rule "r": NaN is out of range: must be from 0 to 1, for example 0.5`},
	{rule("match = { probability = \"half\" }"), `3:11: probability in match of rule "r": must be a number, from 0 to 1, for example 0.5, not a string`},
	{rule("match = { every = 0 }"), `3:11: every in match of rule "r": 0 is out of range: must be from 1 to 9223372036854775807`},
	{rule("[rule.match]\nclients = [\"10.0.0.0/8\", \"10.9.0.0/8\"]"), `4:26: clients in match of rule "r": "10.9.0.0/8" has bits set behind its first 8: did you mean "10.0.0.0/8"?`},
	{rule("steram = []"), `3:1: unknown key "steram" in rule "r": did you mean "stream"?`},

	// Faults.
	{rule("action = \"pass\"\nfaults = [{ leg = \"client\", on = \"fin\", do = \"delay\", by = \"2s\" }]"),
		`4:1: rule "r" has action = "pass", and faults is for spliced connections only: take one of them out`},
	{rule("faults = { leg = \"client\" }"), `3:1: faults in rule "r": must be a list, for example [{ leg = "client", on = "fin", do = "delay", by = "2s" }], not a table`},
	{rule("faults = [\"delay\"]"), `3:11: fault 1 of rule "r" must be a table, for example { leg = "client", on = "fin", do = "delay", by = "2s" }, not a string`},
	{fault(`on = "fin", do = "delay", by = "2s"`), `3:11: leg is missing in fault 1 of rule "r": must be one of "client" and "server"`},
	{fault(`leg = "client", do = "delay", by = "2s"`), `3:11: on is missing in fault 1 of rule "r": must be one of "syn", "syn-ack", "handshake-ack", "ack", "data", "fin", "last-ack", "rst", "window-update" and "any"`},
	{fault(`leg = "client", on = "fin", by = "2s"`), `3:11: do is missing in fault 1 of rule "r": must be one of "delay", "drop", "duplicate", "reorder", "corrupt", "hold", "split", "rewrite", "reset", "fin", "vanish", "stall", "dribble", "icmp", "withhold-acks", "stretch-acks", "duplicate-acks", "refuse", "ignore" and "accept-then-die"`},
	{fault(`leg = "client", on = "fin", do = "delay"`), `3:11: by is missing in fault 1 of rule "r": say how long to delay, for example by = "300ms"`},
	{fault(`leg = "middle", on = "fin", do = "delay", by = "2s"`), `3:13: leg in fault 1 of rule "r": unknown value "middle": must be one of "client" and "server"`},
	{fault(`leg = "client", on = "fni", do = "delay", by = "2s"`), `3:29: on in fault 1 of rule "r": unknown value "fni": did you mean "fin"?`},
	{fault(`leg = "client", on = "fin", do = "dorp", by = "2s"`), `3:41: do in fault 1 of rule "r": unknown value "dorp": did you mean "drop"?`},
	{fault(`leg = "client", on = "fin", do = "delay", by = "0s"`), `3:55: by in fault 1 of rule "r": "0s" is out of range: must be from 1ns to 1h`},
	{fault(`leg = "client", on = "fin", do = "delay", by = "61m"`), `3:55: by in fault 1 of rule "r": "61m" is out of range: must be from 1ns to 1h`},
	{fault(`leg = "client", on = "fin", do = "delay", by = 2`), `3:55: by in fault 1 of rule "r": must be a time with its unit in quotes, for example "300ms" or "2s", not a whole number`},
	{fault(`leg = "client", on = "fin", do = "delay", by = "2s", jiter = "1s"`), `3:66: unknown key "jiter" in fault 1 of rule "r": did you mean "jitter"?`},
	{fault(`leg = "client", dir = "both", on = "fin", do = "delay", by = "2s"`), `3:29: dir in fault 1 of rule "r": unknown value "both": must be one of "out" and "in"`},
	{fault(`leg = "client", dir = "in", on = "syn-ack", do = "delay", by = "2s"`), `3:29: dir in fault 1 of rule "r": a SYN-ACK never comes in from a client: must be "out", or leave dir out`},
	{fault(`leg = "server", dir = "out", on = "syn-ack", do = "delay", by = "2s"`), `3:29: dir in fault 1 of rule "r": a SYN-ACK never goes out to a server: must be "in", or leave dir out`},
	{rule("faults = [\n{ leg = \"client\", on = \"fin\", do = \"delay\", by = \"1s\" },\n{ leg = \"client\", dir = \"out\", on = \"fin\", do = \"delay\", by = \"2s\" }]"),
		`5:1: fault 2 of rule "r" delays what fault 1 already delays: keep one of them`},

	// Several at once, in the order of the file.
	{"[log]\nformat = 1\nlevel = \"x\"\n[intercept]\nqueues = \"two\"\nprots = []",
		`2:1: format in [log]: must be one of "text" and "json", not a whole number
3:1: level in [log]: unknown value "x": must be one of "debug", "info", "warn" and "error"
5:1: queues in [intercept]: must be a whole number from 0 to 64, not a string
6:1: unknown key "prots" in [intercept]: did you mean "ports"?`},
}

func TestRefused(t *testing.T) {
	if len(refused) < 40 {
		t.Errorf("only %d wrong files", len(refused))
	}
	for _, v := range refused {
		v.check(t)
	}
}

func (v refusal) check(t *testing.T) {
	t.Helper()
	c, err := Parse("f", v.text)
	var want []string
	for _, line := range strings.Split(v.want, "\n") {
		want = append(want, "f:"+line)
	}
	if c != nil || err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("%s\ngot  %v\nwant %s", v.text, err, strings.Join(want, "\n"))
	}
}

// No message speaks of Go.
func TestNoGoWords(t *testing.T) {
	for _, v := range append(refused, refusedRules...) {
		for _, word := range []string{"int64", "float64", "map[", "interface", "nil", "struct", "strconv"} {
			if _, err := Parse("f", v.text); err != nil && strings.Contains(err.Error(), word) {
				t.Errorf("%q in %v", word, err)
			}
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("[log]\n")
	for i := range maxProblems + 12 {
		fmt.Fprintf(&text, "x%d = 1\n", i)
	}
	_, err := Parse("f", text.String())
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	lines := e.Lines()
	if len(lines) != maxProblems+1 || lines[maxProblems] != "f: and 12 more problems" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "none.toml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("a missing file gives %v", err)
	}
	long := filepath.Join(dir, "long.toml")
	if err := os.WriteFile(long, []byte(strings.Repeat("# long\n", maxFileOctets/7+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(long); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a file beyond the bound gives %v", err)
	}
	if _, err := Load(ownFile); err != nil {
		t.Error(err)
	}
}
