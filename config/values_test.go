package config

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1GiB": 1 << 30, "64KiB": 65536, "1.5MiB": 3 << 19, "10 MB": 1e7, "0B": 0, "7B": 7, "2kB": 2000, "1TB": 1e12,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "5", "GiB", "-1B", "1gib", "9999999999TiB", "NaNB", "InfB", "1KiBB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d, want a refusal", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for octets, want := range map[int64]string{1 << 40: "1TiB", 16 << 20: "16MiB", 1000: "1000B", 3 << 9: "1536B", 0: "0B"} {
		if got := formatSize(octets); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", octets, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", time.Minute: "1m", 0: "0s", 90 * time.Second: "1m30s", time.Nanosecond: "1ns", 10 * time.Second: "10s"} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %q, want %q", d, got, want)
		}
	}
}
