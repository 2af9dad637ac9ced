package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"tcpmitm/rules"
)

// uncommented is config.toml with the # of its examples taken away: of all
// lines that have something other than a space behind it.
func uncommented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(ownFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		// A nested line of an example begins with two spaces.
		if example, ok := strings.CutPrefix(line, "#"); ok && (!strings.HasPrefix(example, " ") || strings.HasPrefix(example, "  {")) {
			line = example
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// The examples of config.toml are right as they stand, and show every word and
// every key that a rule can have.
func TestExamplesOfOwnFile(t *testing.T) {
	text := uncommented(t)
	c, err := Parse(ownFile, text)
	if err != nil {
		t.Fatal(err)
	}
	dos, policies := map[rules.Do]bool{}, map[rules.Stream]bool{}
	for _, r := range c.Rules.Rules() {
		for _, f := range r.Faults {
			dos[f.Do] = true
		}
		for _, p := range r.Streams {
			policies[p.Do] = true
		}
	}
	for _, k := range faultKinds {
		if !dos[k.do] {
			t.Errorf("no example has do = %q", k.word)
		}
	}
	for _, k := range policyKinds {
		if !policies[k.do] {
			t.Errorf("no example has a stream policy with do = %q", k.word)
		}
	}
	examples := locate(text)
	has := func(key string) bool {
		for path := range examples {
			if strings.HasSuffix(path, "."+key) {
				return true
			}
		}
		return false
	}
	profile := &table{reader: &reader{}, values: map[string]any{}}
	profile.profile(new(rules.Profile))
	rule := &table{reader: &reader{}, values: map[string]any{}}
	rule.rule(map[string]Position{})
	for _, key := range slices.Concat(faultKeys(), policyKeys(), profile.known, rule.known, []string{"clients", "servers", "ports", "probability", "at", "for"}) {
		if !has(key) {
			t.Errorf("no example has the key %q", key)
		}
	}
	for _, word := range slices.Concat(wordsOf(ons), wordsOf(endings), wordsOf(unreachable), wordsOf(linkNames()), []string{"client_ports", "every"}) {
		if !strings.Contains(text, word) {
			t.Errorf("config.toml does not speak of %q", word)
		}
	}
}

// What follows a # and a space is prose, so that it can be told from examples.
func TestProseIsNoExample(t *testing.T) {
	text, err := os.ReadFile(ownFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "# [[") || len(strings.TrimRight(line, "\n")) > 130 {
			t.Errorf("config.toml: %s", line)
		}
	}
}
