package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"tcpmitm/rules"
)

// changeName stands in messages where otherwise the name of the file does.
const changeName = "rule set"

// matchKeys are the keys of match. A change may say them without it.
var matchKeys = []string{"clients", "servers", "ports", "client_ports", "probability", "every"}

// Change returns the configuration in which one rule says something else; c
// stays as it is. Each of set is TOML that is laid over the rule's table:
// "probability = 0.2", "match.ports = [80]", or "faults.2.by = '3s'", where
// elements of lists are counted from 1. Each of unset is a key to take out.
// Values that are a single word need no quotes. The rule that comes out is
// enabled if and only if the old one is, unless the change says otherwise. What
// is wrong comes back as an *Error.
func (c *Config) Change(name string, set, unset []string) (*Config, error) {
	list := c.Rules.Rules()
	i := slices.IndexFunc(list, func(r *rules.Rule) bool { return r.Name == name })
	if i < 0 {
		return nil, c.noRule(name)
	}
	values := copied(c.Source[i]).(map[string]any)
	values["enabled"] = list[i].Enabled()
	for _, key := range unset {
		if wrong := remove(values, inMatch(strings.Split(key, "."))); wrong != "" {
			return nil, refuseChange(fmt.Sprintf("%s in rule %q: %s", key, name, wrong))
		}
	}
	for _, text := range set {
		tree, err := assignment(text)
		if err != nil {
			return nil, err
		}
		if _, there := tree["name"]; there {
			return nil, refuseChange(fmt.Sprintf("name in rule %q: cannot be changed while tcpmitm runs: change it in the file and reload", name))
		}
		if wrong := lay(values, tree); wrong != "" {
			return nil, refuseChange(fmt.Sprintf("%s in rule %q: %s", text, name, wrong))
		}
	}
	r := &reader{}
	root := &table{reader: r, name: "the file"}
	list[i] = root.row("rule", i, fmt.Sprintf("rule %d", i+1), values).rule(map[string]Position{})
	if err := r.problems.err(changeName); err != nil {
		return nil, err
	}
	out := *c
	out.Source = slices.Clone(c.Source)
	out.Source[i] = values
	out.Rules = rules.New(list)
	out.Rules.Succeed(c.Rules)
	return &out, nil
}

// Find returns a rule by its name; the error says which name may be meant.
func (c *Config) Find(name string) (*rules.Rule, error) {
	for _, r := range c.Rules.Rules() {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, c.noRule(name)
}

// NoRuleError means that no rule has a name.
type NoRuleError struct{ message string }

// Error implements error.
func (e *NoRuleError) Error() string { return e.message }

func (c *Config) noRule(name string) error {
	var names []string
	for _, r := range c.Rules.Rules() {
		names = append(names, r.Name)
	}
	const maxNames = 20 // that a message lists
	switch best := nearest(name, names); {
	case best != "":
		return &NoRuleError{fmt.Sprintf("no rule is called %q: did you mean %q?", name, best)}
	case len(names) == 0:
		return &NoRuleError{fmt.Sprintf("no rule is called %q: there are none", name)}
	case len(names) > maxNames:
		return &NoRuleError{fmt.Sprintf("no rule is called %q: `tcpmitm rule list` names all %d", name, len(names))}
	}
	return &NoRuleError{fmt.Sprintf("no rule is called %q: there are %s", name, quoted(names))}
}

func refuseChange(message string) error {
	return &Error{File: changeName, Problems: []Problem{{Message: message}}}
}

// assignment reads the TOML of a change.
func assignment(text string) (map[string]any, error) {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	if err != nil {
		// A shell takes quotes away, so a value without them is a string.
		key, value, found := strings.Cut(text, "=")
		value = strings.TrimSpace(value)
		var again map[string]any
		if found && value != "" && !strings.ContainsAny(value, "\"'[]{}\n,") {
			if _, err := toml.Decode(key+"="+strconv.Quote(value), &again); err == nil {
				tree = again
			} else {
				found = false
			}
		} else {
			found = false
		}
		if !found {
			return nil, syntaxError(changeName, err)
		}
	}
	if len(tree) == 0 {
		return nil, refuseChange(fmt.Sprintf("%q changes nothing: write key=value, for example probability=0.2", text))
	}
	for _, key := range matchKeys {
		if v, there := tree[key]; there {
			delete(tree, key)
			m, ok := tree["match"].(map[string]any)
			if !ok {
				m = map[string]any{}
				tree["match"] = m
			}
			m[key] = v
		}
	}
	return tree, nil
}

// inMatch is the path of a key that may have been said without match.
func inMatch(path []string) []string {
	if slices.Contains(matchKeys, path[0]) {
		return append([]string{"match"}, path...)
	}
	return path
}

// copied is a deep copy of what the toml package parsed, with one type for all
// lists.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = copied(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = copied(e)
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = copied(e)
		}
		return out
	}
	return v
}

// lay puts what is in change over a table; it returns what is wrong, or "".
func lay(over, change map[string]any) (wrong string) {
	for _, key := range slices.Sorted(maps.Keys(change)) {
		v := copied(change[key])
		sub, isTable := v.(map[string]any)
		switch old := over[key].(type) {
		case map[string]any:
			if isTable {
				if wrong := lay(old, sub); wrong != "" {
					return wrong
				}
				continue
			}
		case []any:
			if isTable {
				if wrong := layElements(key, old, sub); wrong != "" {
					return wrong
				}
				continue
			}
		}
		over[key] = v
	}
	return ""
}

// layElements puts changes over elements of a list.
func layElements(key string, list []any, change map[string]any) (wrong string) {
	for _, number := range slices.Sorted(maps.Keys(change)) {
		i, wrong := elementOf(list, number)
		if wrong != "" {
			return key + " " + wrong
		}
		old, ok1 := list[i].(map[string]any)
		sub, ok2 := change[number].(map[string]any)
		if !ok1 || !ok2 {
			list[i] = copied(change[number])
		} else if wrong := lay(old, sub); wrong != "" {
			return wrong
		}
	}
	return ""
}

func elementOf(list []any, number string) (i int, wrong string) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(list) {
		return 0, fmt.Sprintf("has %d elements, the first of which is 1: there is no %q", len(list), number)
	}
	return n - 1, ""
}

// remove takes the value at a path out of a table.
func remove(from map[string]any, path []string) (wrong string) {
	key := path[0]
	v, there := from[key]
	switch v := v.(type) {
	case map[string]any:
		if len(path) > 1 {
			return remove(v, path[1:])
		}
	case []any:
		if len(path) > 1 {
			i, wrong := elementOf(v, path[1])
			if wrong != "" {
				return key + " " + wrong
			}
			if sub, ok := v[i].(map[string]any); ok && len(path) > 2 {
				return remove(sub, path[2:])
			}
			from[key] = slices.Delete(v, i, i+1)
			return ""
		}
	}
	if !there || len(path) > 1 {
		return "is not there, so it cannot be taken out"
	}
	delete(from, key)
	return ""
}

// Changed lists the keys outside of the rules in which two configurations
// differ.
func Changed(a, b *Config) (keys []string) {
	return changed(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "")
}

func changed(a, b reflect.Value, prefix string) (keys []string) {
	for i := range a.NumField() {
		key, tagged := a.Type().Field(i).Tag.Lookup("toml")
		switch {
		case !tagged:
		case a.Field(i).Kind() == reflect.Struct:
			keys = append(keys, changed(a.Field(i), b.Field(i), prefix+key+".")...)
		case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			keys = append(keys, prefix+key)
		}
	}
	return keys
}
