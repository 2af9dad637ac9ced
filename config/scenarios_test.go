package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcpmitm/rules"
)

// scenarioFiles are the configurations of which each shows one thing; test/lab
// plays them.
const scenarioFiles = "../scenarios/*.toml"

// shown is what the scenarios use of what a rule can have.
type shown struct {
	dos      map[rules.Do]bool
	ons      map[rules.On]bool
	policies map[rules.Stream]bool
	endings  map[rules.Ending]bool
	codes    map[uint8]bool
	keys     map[string]bool
}

func (s *shown) add(r *rules.Rule) {
	for _, f := range r.Faults {
		s.dos[f.Do], s.ons[f.On] = true, true
		if f.Do == rules.Hold {
			s.ons[f.Until] = true
		}
		if f.Do == rules.ICMP {
			s.codes[f.Code] = true
		}
	}
	for _, p := range r.Streams {
		s.policies[p.Do] = true
		if p.Do == rules.Limit {
			s.endings[p.Then] = true
		}
	}
}

// Each word and each key that a rule's treatment can have is in a scenario, so
// that each is proven on a wire.
func TestScenariosShowEverything(t *testing.T) {
	files, err := filepath.Glob(scenarioFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	s := shown{
		dos: map[rules.Do]bool{}, ons: map[rules.On]bool{}, policies: map[rules.Stream]bool{},
		endings: map[rules.Ending]bool{}, codes: map[uint8]bool{}, keys: map[string]bool{},
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(file, string(text))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, r := range c.Rules.Rules() {
			s.add(r)
		}
		for path := range locate(string(text)) {
			s.keys[path[strings.LastIndex(path, ".")+1:]] = true
		}
		all.Write(text)
	}
	for _, k := range faultKinds {
		if !s.dos[k.do] {
			t.Errorf("no scenario has a fault with do = %q", k.word)
		}
	}
	for _, c := range ons {
		if !s.ons[c.value] {
			t.Errorf("no scenario has on = %q", c.word)
		}
	}
	for _, k := range policyKinds {
		if !s.policies[k.do] {
			t.Errorf("no scenario has a stream policy with do = %q", k.word)
		}
	}
	for _, c := range endings {
		if !s.endings[c.value] {
			t.Errorf("no scenario has a limit with then = %q", c.word)
		}
	}
	for _, c := range unreachable {
		if !s.codes[c.value] {
			t.Errorf("no scenario has icmp with code = %q", c.word)
		}
	}
	profile := &table{reader: &reader{}, values: map[string]any{}}
	profile.profile(new(rules.Profile))
	for _, key := range slices.Concat(faultKeys(), policyKeys(), profile.known, []string{"simultaneous-open", "simultaneous-close", "link"}) {
		if !s.keys[key] {
			t.Errorf("no scenario has the key %q", key)
		}
	}
	for _, c := range linkNames() {
		if !strings.Contains(all.String(), `link  = "`+c.word+`"`) {
			t.Errorf("no scenario has the link %q", c.word)
		}
	}
}

// A scenario begins with words: what happens, and what that shows.
func TestScenariosSayWhatTheyShow(t *testing.T) {
	files, _ := filepath.Glob(scenarioFiles)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "# ") {
				break
			}
			n++
		}
		if n == 0 || n > 5 {
			t.Errorf("%s begins with %d lines of comment, want 1 to 5", file, n)
		}
	}
}
