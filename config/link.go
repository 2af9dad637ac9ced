package config

import (
	"slices"
	"sync"

	"tcpmitm/profiles"
	"tcpmitm/rules"
)

// linksFile is the name of the file of named links in messages.
const linksFile = "profiles/links.toml"

// builtin holds the rules of that file once somebody has asked for them.
var builtin struct {
	once  sync.Once
	rules []*rules.Rule
}

// links are the rules of the file, which a test keeps right.
func links() []*rules.Rule {
	builtin.once.Do(func() {
		c, err := Parse(linksFile, profiles.Links)
		if err != nil {
			panic("config: the program's own " + err.Error())
		}
		builtin.rules = c.Rules.Rules()
	})
	return builtin.rules
}

// link reads the named link of a rule: its name, or a table that also says
// on which leg it is. What the rule says itself comes first, as if it happened
// on our side of the link.
func (t *table) link(r *rules.Rule) {
	var name string
	leg := rules.Client
	switch v, there := t.get("link"); v := v.(type) {
	case nil:
		return
	case string:
		oneOf(t, "link", &name, linkNames())
	case map[string]any:
		s := t.sub("link", "link of "+t.name)
		needed(s, "name", &name, linkNames())
		oneOf(s, "leg", &leg, legs)
		s.done()
	default:
		if there {
			t.wrong("link", `must be the name of a link, for example "satellite" or { name = "satellite", leg = "server" }, not %s`, kind(v))
		}
	}
	i := slices.IndexFunc(links(), func(l *rules.Rule) bool { return l.Name == name })
	if i < 0 {
		return
	}
	for _, f := range links()[i].Faults {
		f.Leg = farther(f.Leg, leg)
		r.Faults = append(r.Faults, f)
	}
	for _, p := range links()[i].Streams {
		p.To = farther(p.To, leg)
		r.Streams = append(r.Streams, p)
	}
}

// farther is the leg of a link's fault if the link is on a leg: the file has
// them all on the client's.
func farther(of, on rules.Leg) rules.Leg {
	if on == rules.Client {
		return of
	}
	return rules.Server - of
}

func linkNames() (out []choice[string]) {
	for _, l := range links() {
		out = append(out, choice[string]{l.Name, l.Name})
	}
	return out
}
