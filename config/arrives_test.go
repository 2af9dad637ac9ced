package config

import (
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpmitm/rules"
)

// parsed is the only rule of a file.
func parsed(t *testing.T, text string) *rules.Rule {
	t.Helper()
	c, err := Parse("f", text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Rules.Rules()[0]
}

var sameRegexp = cmp.Comparer(func(a, b *regexp.Regexp) bool { return a == b || a != nil && b != nil && a.String() == b.String() })

// Each word and key of a fault arrives where it belongs.
func TestFaultsArrive(t *testing.T) {
	const client, server = rules.Client, rules.Server
	for _, v := range []struct {
		text string
		want rules.Fault
	}{
		{`leg = "client", on = "any", do = "drop"`, rules.Fault{On: rules.Any, Do: rules.Lose}},
		{`leg = "client", on = "syn", do = "drop"`, rules.Fault{In: true, On: rules.SYN, Do: rules.Lose}},
		{`leg = "server", on = "syn", do = "drop"`, rules.Fault{Leg: server, On: rules.SYN, Do: rules.Lose}},
		{`leg = "client", on = "syn-ack", do = "drop"`, rules.Fault{On: rules.SYNACK, Do: rules.Lose}},
		{`leg = "server", on = "syn-ack", do = "drop"`, rules.Fault{Leg: server, In: true, On: rules.SYNACK, Do: rules.Lose}},
		{`leg = "client", on = "handshake-ack", do = "drop"`, rules.Fault{In: true, On: rules.HandshakeACK, Do: rules.Lose}},
		{`leg = "server", dir = "out", on = "handshake-ack", do = "drop"`, rules.Fault{Leg: server, On: rules.HandshakeACK, Do: rules.Lose}},
		{`leg = "client", dir = "in", on = "ack", do = "drop"`, rules.Fault{In: true, On: rules.ACK, Do: rules.Lose}},
		{`leg = "client", dir = "out", on = "fin", do = "drop"`, rules.Fault{On: rules.FIN, Do: rules.Lose}},
		{`leg = "client", on = "last-ack", do = "drop"`, rules.Fault{On: rules.LastACK, Do: rules.Lose}},
		{`leg = "client", on = "rst", do = "drop"`, rules.Fault{On: rules.RST, Do: rules.Lose}},
		{`leg = "client", on = "window-update", do = "drop"`, rules.Fault{On: rules.WindowUpdate, Do: rules.Lose}},

		{`leg = "client", on = "data", do = "drop", nth = 3`, rules.Fault{On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 3}}},
		{`leg = "client", on = "data", do = "drop", first = 4`, rules.Fault{On: rules.Data, Do: rules.Lose, Which: rules.Which{First: 4}}},
		{`leg = "client", on = "data", do = "drop", every = 5, probability = 1, bytes = "64KiB-128KiB", after = "1s", for = "2s", retransmits = false`,
			rules.Fault{On: rules.Data, Do: rules.Lose, Which: rules.Which{
				Every: 5, Probability: 1, Bytes: rules.Octets{From: 64 << 10, To: 128 << 10},
				After: time.Second, For: 2 * time.Second, Retransmits: rules.Some(false),
			}}},
		{`leg = "client", on = "data", do = "drop", bytes = "1000-", retransmits = true`,
			rules.Fault{On: rules.Data, Do: rules.Lose, Which: rules.Which{Bytes: rules.Octets{From: 1000, To: math.MaxUint64}, Retransmits: rules.Some(true)}}},

		{`leg = "client", on = "data", do = "delay", by = "2s", jitter = "1s"`, rules.Fault{On: rules.Data, By: 2 * time.Second, Jitter: time.Second}},
		{`leg = "client", on = "data", do = "duplicate"`, rules.Fault{On: rules.Data, Do: rules.Duplicate, Copies: 1}},
		{`leg = "client", on = "data", do = "duplicate", copies = 3`, rules.Fault{On: rules.Data, Do: rules.Duplicate, Copies: 3}},
		{`leg = "client", on = "data", do = "reorder"`, rules.Fault{On: rules.Data, Do: rules.Reorder, Behind: 1}},
		{`leg = "client", on = "data", do = "reorder", behind = 4`, rules.Fault{On: rules.Data, Do: rules.Reorder, Behind: 4}},
		{`leg = "client", on = "data", do = "corrupt"`, rules.Fault{On: rules.Data, Do: rules.Corrupt}},
		{`leg = "client", on = "data", do = "hold", until = "closing"`, rules.Fault{On: rules.Data, Do: rules.Hold, Until: rules.Closing}},
		{`leg = "server", on = "handshake-ack", do = "hold", until = "first-byte"`,
			rules.Fault{Leg: server, On: rules.HandshakeACK, Do: rules.Hold, Until: rules.FirstByte}},
		{`leg = "client", on = "data", do = "split", size = "1KiB"`, rules.Fault{On: rules.Data, Do: rules.Split, Size: 1024}},
		{`leg = "client", on = "any", do = "rewrite", window = 0, urgent = 7, flags = ["syn", "cwr"], ttl = 3, dscp = 46`,
			rules.Fault{On: rules.Any, Do: rules.Rewrite, Header: rules.Header{
				Window: rules.Some[uint16](0), Urgent: rules.Some[uint16](7), Flags: rules.Some[uint8](0x82), TTL: rules.Some[uint8](3), DSCP: rules.Some[uint8](46),
			}}},
		{`leg = "client", dir = "in", on = "data", do = "rewrite", flags = 0x3f`,
			rules.Fault{In: true, On: rules.Data, Do: rules.Rewrite, Header: rules.Header{Flags: rules.Some[uint8](0x3f)}}},

		{`leg = "server", on = "established", do = "reset", after = "30s", probability = 0.5`, rules.Fault{
			Leg: server, On: rules.Established, Do: rules.ResetLeg, Legs: [2]bool{true, true}, Which: rules.Which{After: 30 * time.Second, Probability: 0.5},
		}},
		{`leg = "client", on = "first-byte", do = "reset", to = "client"`, rules.Fault{On: rules.FirstByte, Do: rules.ResetLeg, Legs: [2]bool{client: true}}},
		{`leg = "client", on = "closing", do = "reset", to = "server"`, rules.Fault{On: rules.Closing, Do: rules.ResetLeg, Legs: [2]bool{server: true}}},
		{`leg = "client", on = "half-closed", do = "reset", to = "both"`, rules.Fault{On: rules.HalfClosed, Do: rules.ResetLeg, Legs: [2]bool{true, true}}},
		{`leg = "client", on = "established", do = "fin"`, rules.Fault{On: rules.Established, Do: rules.SendFIN}},
		{`leg = "client", on = "established", do = "vanish"`, rules.Fault{On: rules.Established, Do: rules.Vanish}},
		{`leg = "client", on = "established", do = "stall", by = "5s"`, rules.Fault{On: rules.Established, Do: rules.Stall, By: 5 * time.Second}},
		{`leg = "client", on = "established", do = "dribble", size = 10`, rules.Fault{On: rules.Established, Do: rules.Dribble, Size: 10}},
		{`leg = "client", on = "established", do = "icmp", code = "prohibited"`, rules.Fault{On: rules.Established, Do: rules.ICMP, Code: 13}},
		{`leg = "client", on = "syn", do = "icmp", code = "host", nth = 2`,
			rules.Fault{In: true, On: rules.SYN, Do: rules.ICMP, Code: 1, Which: rules.Which{Nth: 2}}},
		{`leg = "client", on = "established", do = "icmp", code = 2`, rules.Fault{On: rules.Established, Do: rules.ICMP, Code: 2}},
		{`leg = "client", on = "established", do = "withhold-acks"`, rules.Fault{On: rules.Established, Do: rules.WithholdACKs}},
		{`leg = "client", on = "established", do = "withhold-acks", by = "3s"`, rules.Fault{On: rules.Established, Do: rules.WithholdACKs, By: 3 * time.Second}},
		{`leg = "client", on = "established", do = "stretch-acks", n = 8`, rules.Fault{On: rules.Established, Do: rules.StretchACKs, N: 8}},
		{`leg = "client", on = "first-byte", do = "duplicate-acks", n = 3`, rules.Fault{On: rules.FirstByte, Do: rules.DuplicateACKs, N: 3}},
		{`leg = "client", do = "refuse"`, rules.Fault{In: true, On: rules.SYN, Do: rules.Refuse}},
		{`leg = "client", on = "syn", do = "ignore", first = 2`, rules.Fault{In: true, On: rules.SYN, Do: rules.Ignore, Which: rules.Which{First: 2}}},
		{`leg = "client", do = "accept-then-die", after = "1s"`,
			rules.Fault{On: rules.Established, Do: rules.AcceptThenDie, Which: rules.Which{After: time.Second}}},
	} {
		if d := cmp.Diff([]rules.Fault{v.want}, parsed(t, fault(v.text)).Faults); d != "" {
			t.Errorf("%s (-want +got):\n%s", v.text, d)
		}
	}
}

// With simultaneous-open the segments of the server's handshake go both ways.
func TestSimultaneousOpenFreesTheDirection(t *testing.T) {
	r := parsed(t, rule("simultaneous-open = true\nfaults = [{ leg = \"server\", dir = \"out\", on = \"syn-ack\", do = \"drop\" }]"))
	if !r.SimultaneousOpen || r.Faults[0].In {
		t.Errorf("%+v", r.Faults)
	}
}

func TestPoliciesArrive(t *testing.T) {
	for _, v := range []struct {
		text string
		want rules.Policy
	}{
		{`do = "latency", by = "10ms", jitter = "5ms"`, rules.Policy{Do: rules.Latency, By: 10 * time.Millisecond, Jitter: 5 * time.Millisecond}},
		{`do = "throttle", rate = "8Mbit/s"`, rules.Policy{Do: rules.Throttle, Rate: 1e6, Burst: 100_000}},
		{`do = "throttle", rate = "100B/s"`, rules.Policy{Do: rules.Throttle, Rate: 100, Burst: 1500}},
		{`do = "throttle", rate = "100KiB/s", burst = "1MiB"`, rules.Policy{Do: rules.Throttle, Rate: 102400, Burst: 1 << 20}},
		{`do = "throttle", rate = "100GB/s"`, rules.Policy{Do: rules.Throttle, Rate: 100e9, Burst: 1 << 30}},
		{`do = "slice", size = 100`, rules.Policy{Do: rules.Slice, Size: 100}},
		{`do = "slice", size = 100, gap = "1ms"`, rules.Policy{Do: rules.Slice, Size: 100, Gap: time.Millisecond}},
		{`do = "limit", bytes = "64KiB"`, rules.Policy{Do: rules.Limit, Bytes: 65536, Then: rules.EndFIN}},
		{`do = "limit", bytes = 0, then = "reset"`, rules.Policy{Do: rules.Limit, Then: rules.EndReset}},
		{`do = "limit", bytes = 5, then = "vanish"`, rules.Policy{Do: rules.Limit, Bytes: 5, Then: rules.EndVanish}},
		{`do = "replace", find = "a", with = "", first = 2`, rules.Policy{Do: rules.Replace, Find: []byte("a"), With: []byte{}, First: 2}},
		{`do = "replace", find = [0, 255], with = [13, 10]`, rules.Policy{Do: rules.Replace, Find: []byte{0, 255}, With: []byte("\r\n")}},
		{`do = "replace", pattern = '(c)olou?r', with = '${1}$1 $$'`,
			rules.Policy{Do: rules.Replace, Pattern: regexp.MustCompile(`(c)olou?r`), With: []byte(`${1}$1 $$`)}},
		{`do = "insert", with = "x"`, rules.Policy{Do: rules.Insert, With: []byte("x")}},
		{`do = "insert", with = "x", at = "1KiB"`, rules.Policy{Do: rules.Insert, With: []byte("x"), At: 1024}},
		{`do = "discard", bytes = "10-20"`, rules.Policy{Do: rules.Discard, Range: rules.Octets{From: 10, To: 20}}},
		{`do = "corrupt", every = 1000`, rules.Policy{Do: rules.CorruptData, Every: 1000}},
		{`do = "corrupt", bytes = "1KiB-2KiB"`, rules.Policy{Do: rules.CorruptData, Every: 1, Range: rules.Octets{From: 1024, To: 2048}}},
		{`do = "hold-until", until = "first-byte"`, rules.Policy{Do: rules.HoldUntil, Until: rules.Some(rules.FirstByte)}},
		{`do = "hold-until", by = "3s"`, rules.Policy{Do: rules.HoldUntil, By: 3 * time.Second}},
		{`do = "hold-until", bytes = 100`, rules.Policy{Do: rules.HoldUntil, Bytes: 100}},
	} {
		for _, to := range legs {
			want := v.want
			want.To = to.value
			got := parsed(t, stream(`to = "`+to.word+`", `+v.text)).Streams
			if d := cmp.Diff([]rules.Policy{want}, got, sameRegexp); d != "" {
				t.Errorf("%s (-want +got):\n%s", v.text, d)
			}
		}
	}
}

func TestProfilesArrive(t *testing.T) {
	minute := time.Minute
	for _, v := range []struct {
		text string
		want rules.Profile
	}{
		{`mss = 1200`, rules.Profile{MSS: rules.Some(1200)}},
		{`mss = 0`, rules.Profile{MSS: rules.Some(0)}},
		{`window = "1MiB"`, rules.Profile{Window: rules.Some(1 << 20)}},
		{`window = 65535, window_scale = false`, rules.Profile{Window: rules.Some(65535), WindowScale: rules.Some(-1)}},
		{`window_scale = 14`, rules.Profile{WindowScale: rules.Some(14)}},
		{`sack = true`, rules.Profile{SACK: rules.Some(true)}},
		{`timestamps = false`, rules.Profile{Timestamps: rules.Some(false)}},
		{`ecn = true`, rules.Profile{ECN: rules.Some(true)}},
		{`isn = "random"`, rules.Profile{ISN: rules.Some(rules.ISN{Mode: rules.ISNRandom})}},
		{`isn = "clock"`, rules.Profile{ISN: rules.Some(rules.ISN{Mode: rules.ISNClock})}},
		{`isn = 4294967295`, rules.Profile{ISN: rules.Some(rules.ISN{Mode: rules.ISNFixed, Fixed: math.MaxUint32})}},
		{`ack_delay = "0s"`, rules.Profile{ACKDelay: rules.Some[time.Duration](0)}},
		{`time_wait = "1m"`, rules.Profile{TimeWait: rules.Some(minute)}},
		{`retries = 0`, rules.Profile{SYNRetries: rules.Some(0)}},
		{`user_timeout = "1m"`, rules.Profile{UserTimeout: rules.Some(minute)}},
		{`keep_alive = "1m"`, rules.Profile{KeepAlive: rules.Some(rules.KeepAlive{Idle: minute, Interval: 75 * time.Second, Count: 9})}},
		{`keep_alive = { idle = "1m", interval = "2s", count = 3 }`, rules.Profile{KeepAlive: rules.Some(rules.KeepAlive{Idle: minute, Interval: 2 * time.Second, Count: 3})}},
		{`keep_alive = false`, rules.Profile{KeepAlive: rules.Some(rules.KeepAlive{})}},
		{`congestion = "newreno"`, rules.Profile{Congestion: rules.Some("newreno")}},
		{`initial_window = 3`, rules.Profile{InitialWindow: rules.Some(3)}},
		{`ttl = 9`, rules.Profile{TTL: rules.Some[uint8](9)}},
		{`dscp = 46`, rules.Profile{DSCP: rules.Some[uint8](46)}},
	} {
		for _, leg := range legs {
			var want [2]rules.Profile
			want[leg.value] = v.want
			if d := cmp.Diff(want, parsed(t, rule(leg.word+" = { "+v.text+" }")).Profiles); d != "" {
				t.Errorf("%s of %s (-want +got):\n%s", v.text, leg.word, d)
			}
		}
	}
}

func TestSwitchesArrive(t *testing.T) {
	r := parsed(t, rule(`simultaneous-close = true
enabled = false
timeline = [{ at = "0s", for = "10s" }, { at = "10s" }]`))
	if !r.SimultaneousClose || r.SimultaneousOpen || r.Enabled() {
		t.Error("a switch did not arrive")
	}
	want := []rules.Span{{At: 0, For: 10 * time.Second}, {At: 10 * time.Second}}
	if d := cmp.Diff(want, r.Timeline); d != "" {
		t.Errorf("timeline (-want +got):\n%s", d)
	}
	if r := parsed(t, rule("")); !r.Enabled() || r.Timeline != nil || r.SimultaneousClose {
		t.Error("an empty rule is switched oddly")
	}
}
