package config

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"tcpmitm/rules"
)

const ownFile = "../config.toml"

// sections leaves out the rules, which have counters and no default.
func sections(c *Config) Config {
	out := *c
	out.Rules, out.Source = nil, nil
	return out
}

func compare(t *testing.T, why string, got, want *Config) {
	t.Helper()
	if d := cmp.Diff(sections(want), sections(got), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("%s (-want +got):\n%s", why, d)
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	c, err := Parse("empty.toml", "")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "an empty file", c, Default())
	if c.Rules == nil || c.Rules.Len() != 0 {
		t.Error("an empty file has rules")
	}
}

// leaves returns the keys of a struct by its tags.
func leaves(t reflect.Type, prefix string) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, tagged := f.Tag.Lookup("toml")
		switch {
		case !tagged:
		case f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == "tcpmitm/config":
			out = append(out, leaves(f.Type, prefix+key+".")...)
		default:
			out = append(out, prefix+key)
		}
	}
	return out
}

// The project's file says every key, and says the default of each.
func TestOwnFileSaysTheDefaults(t *testing.T) {
	text, err := os.ReadFile(ownFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(ownFile, string(text))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "config.toml", c, Default())

	var tree map[string]any
	md, err := toml.Decode(string(text), &tree)
	if err != nil {
		t.Fatal(err)
	}
	inFile := map[string]bool{}
	for _, k := range md.Keys() {
		if len(k) == 2 {
			inFile[k.String()] = true
		}
	}
	inCode := leaves(reflect.TypeFor[Config](), "")
	for _, key := range inCode {
		if !inFile[key] {
			t.Errorf("config.toml lacks %s", key)
		}
		delete(inFile, key)
	}
	for key := range inFile {
		t.Errorf("config.toml has %s, which is no field of Config", key)
	}
	for line := range strings.Lines(string(text)) {
		if regexp.MustCompile(`^\w+ *=`).MatchString(line) && !strings.Contains(line, "#") {
			t.Errorf("config.toml says nothing about %s", line)
		}
	}
}

// Each key changes its field: a value other than the default arrives.
func TestEveryKeyArrives(t *testing.T) {
	c, err := Parse("all.toml", `
[intercept]
ports = [80, "8000-8099"]
servers = ["10.0.0.0/8", "fd00::/8"]
clients = ["192.0.2.1/32"]
client_side = ["lan0"]
queues = 3
when_down = "block"
port_forwards = false
queue_base = 7
tun_prefix = "x"
mark = 0x80
zone = 9
drain = "5s"
guard = "never"
[handshake]
order = "client-first"
syn_cookies = "never"
syn_retries = 1
syn_ack_retries = 2
[limits]
connections = 10
half_open = 11
memory = "64MiB"
over_limit = "reset"
per_source = 12
half_open_per_source = 13
[timeouts]
handshake = "1s"
idle = "2s"
half_closed = "3s"
time_wait = "4s"
user_timeout = "5s"
keep_alive = { idle = "6s", interval = "7s", count = 8 }
[control]
socket = "/tmp/s"
metrics = "[::1]:9380"
[log]
level = "debug"
format = "json"
[journal]
file = "/tmp/j"
size = "1MiB"
keep = 0
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Intercept = Intercept{
		Ports:   []rules.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8099}},
		Servers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, ClientSide: []string{"lan0"},
		Queues: 3, WhenDown: Block, QueueBase: 7, TUNPrefix: "x", Mark: 0x80, Zone: 9, Drain: 5 * time.Second, Guard: GuardNever,
	}
	want.Handshake = Handshake{Order: rules.ClientFirst, SYNCookies: CookiesNever, SYNRetries: 1, SYNACKRetries: 2}
	want.Limits = Limits{Connections: 10, HalfOpen: 11, Memory: 64 << 20, OverLimit: rules.Reset, PerSource: 12, HalfOpenPerSource: 13}
	want.Timeouts = Timeouts{
		Handshake: time.Second, Idle: 2 * time.Second, HalfClosed: 3 * time.Second, TimeWait: 4 * time.Second,
		UserTimeout: 5 * time.Second, KeepAlive: rules.KeepAlive{Idle: 6 * time.Second, Interval: 7 * time.Second, Count: 8},
	}
	want.Control = Control{Socket: "/tmp/s", Metrics: "[::1]:9380"}
	want.Log = Log{Level: -4, Format: JSON}
	want.Journal = Journal{File: "/tmp/j", Size: 1 << 20}
	compare(t, "a file with all keys", c, want)
	if !c.Intercept.Hinted() || Default().Intercept.Hinted() {
		t.Error("Hinted is wrong")
	}
}
