package config

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLocate(t *testing.T) {
	text := strings.Join([]string{
		`# comment [not] = "a table"`,          // 1
		`top.dotted = 1`,                       // 2
		`[intercept] # trailing`,               // 3
		`  ports = [80, # one`,                 // 4
		`    "a]b", 'c"d'`,                     // 5
		`  ]`,                                  // 6
		`"quoted key" = """`,                   // 7
		`x = 1`,                                // 8
		`[[no]]"""`,                            // 9
		`  lit = '''it's ''' `,                 // 10
		`[[rule]]`,                             // 11
		`name = "a # b"`,                       // 12
		`match = { ports = [1], deep.er = 2 }`, // 13
		`faults = [`,                           // 14
		`  { leg = "x", by = 1 }, {`,           // 15
		`     by = 2`,                          // 16
		`  }]`,                                 // 17
		`[[rule]]`,                             // 18
		`[rule.match]`,                         // 19
		`"we.ird" = 1979-05-27 07:32:00`,       // 20
		`[[rule.faults]]`,                      // 21
		`by = 1`,                               // 22
		`[[rule.faults]]`,                      // 23
		`by = "\""`,                            // 24
		`esc = "a\\"`,                          // 25
	}, "\n")
	if _, err := toml.Decode(text, new(map[string]any)); err != nil {
		t.Fatalf("the text of the test is not TOML: %v", err)
	}
	got := locate(text)
	for path, want := range map[string]Position{
		"top.dotted":             {2, 5},
		"intercept":              {3, 2},
		"intercept.ports":        {4, 3},
		"intercept.ports[0]":     {4, 12},
		"intercept.ports[1]":     {5, 5},
		"intercept.ports[2]":     {5, 12},
		"intercept.quoted key":   {7, 1},
		"intercept.lit":          {10, 3},
		"rule":                   {11, 3},
		"rule[0]":                {11, 3},
		"rule[0].name":           {12, 1},
		"rule[0].match":          {13, 1},
		"rule[0].match.ports":    {13, 11},
		"rule[0].match.ports[0]": {13, 20},
		"rule[0].match.deep.er":  {13, 29},
		"rule[0].faults[0]":      {15, 3},
		"rule[0].faults[0].by":   {15, 16},
		"rule[0].faults[1]":      {15, 26},
		"rule[0].faults[1].by":   {16, 6},
		"rule[1]":                {18, 3},
		"rule[1].match":          {19, 7},
		`rule[1].match."we.ird"`: {20, 1},
		"rule[1].faults[0]":      {21, 8},
		"rule[1].faults[0].by":   {22, 1},
		"rule[1].faults[1].by":   {24, 1},
		"rule[1].faults[1].esc":  {25, 1},
	} {
		if got[path] != want {
			t.Errorf("%s is at %v, want %v", path, got[path], want)
		}
	}
	for _, path := range []string{"intercept.x", "no", "no[0]", "intercept.no"} {
		if p, ok := got[path]; ok {
			t.Errorf("%s was found at %v, inside a string", path, p)
		}
	}
}

// paths lists every path of a parsed tree, as the reader would name them.
func paths(path string, v any, out *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			*out = append(*out, join(path, k))
			paths(join(path, k), e, out)
		}
	case []map[string]any:
		for i, e := range v {
			element := path + "[" + string(rune('0'+i)) + "]"
			*out = append(*out, element)
			paths(element, e, out)
		}
	case []any:
		for i, e := range v {
			if i > 9 {
				return
			}
			element := path + "[" + string(rune('0'+i)) + "]"
			*out = append(*out, element)
			paths(element, e, out)
		}
	}
}

// wantAllFound holds locate against the toml package: whatever is TOML, each
// key and element of it is found, on a line that exists. What is not TOML must
// not hang or panic.
func wantAllFound(t *testing.T, text string) {
	got := locate(text)
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil || strings.Contains(text, `\`) || strings.Count(text, "[[") > 9 {
		return
	}
	var want []string
	paths("", tree, &want)
	lines := strings.Count(text, "\n") + 1
	for _, path := range want {
		p, ok := got[path]
		if !ok {
			t.Errorf("%s was not found in\n%s", path, text)
		} else if p.Line < 1 || p.Line > lines || p.Column < 1 {
			t.Errorf("%s is at %v of %d lines", path, p, lines)
		}
	}
}

// seeds are texts to start mutation from.
func seeds(t testing.TB) []string {
	list := []string{
		"a.b.c = [[1, 2], [{x = {y = 'z'}}]]\n[d.\"e f\"]\ng = '''\n'''''\n",
		"a = [}",
		"[[a]]\n[[a.b]]\nc=1\n[a.d]\ne=2\n[[a]]\nf=3",
	}
	for _, file := range []string{agreedExample, ownFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	return list
}

func TestLocateMutated(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, seed := range seeds(t) {
		wantAllFound(t, seed)
		for range 1000 {
			b := []byte(seed)
			for range 1 + rnd.IntN(4) {
				i, j := rnd.IntN(len(b)), rnd.IntN(len(b))
				switch rnd.IntN(3) {
				case 0:
					b[i] = b[j]
				case 1:
					b = append(b[:i], b[i+1:]...)
				case 2:
					b[i] = byte(rnd.IntN(256))
				}
			}
			wantAllFound(t, string(b))
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(wantAllFound)
}
