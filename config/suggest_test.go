package config

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"ports", "servers", "clients", "client_side", "on", "by"}
	for word, want := range map[string]string{
		"prots": "ports", "port": "ports", "Ports": "ports", "server": "servers", "clientside": "client_side",
		"clinets": "clients", "colour": "", "": "", "x": "", "bye": "by", "no": "on",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, v := range []struct {
		a, b string
		want int
	}{{"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"", "abc", 3}, {"abd", "abc", 1}, {"ca", "abc", 3}} {
		if got := mistakes(v.a, v.b); got != v.want {
			t.Errorf("mistakes(%q, %q) = %d, want %d", v.a, v.b, got, v.want)
		}
	}
}
