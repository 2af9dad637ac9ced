package config

import (
	"fmt"
	"slices"
	"time"
)

// reader walks what the toml package parsed and collects what is wrong.
type reader struct {
	problems
	places map[string]Position
}

// table is a table under the reader's eyes. It remembers which keys it was
// asked for: those are the known ones.
type table struct {
	*reader
	path   string // as locate names it
	name   string // as messages name it, for example [intercept]
	values map[string]any
	known  []string
}

// at is the place of a key, or of the table if the key is not there.
func (t *table) at(key string) Position {
	if p, ok := t.places[join(t.path, key)]; ok {
		return p
	}
	return t.places[t.path]
}

// wrong reports a problem with the value of a key.
func (t *table) wrong(key, format string, args ...any) {
	t.add(t.at(key), "%s in %s: %s", key, t.name, fmt.Sprintf(format, args...))
}

// element is the place of the i-th element of the list at a key.
func (t *table) element(key string, i int) Position {
	if p, ok := t.places[fmt.Sprintf("%s[%d]", join(t.path, key), i)]; ok {
		return p
	}
	return t.at(key)
}

// get returns the value of a key and makes the key a known one.
func (t *table) get(key string) (any, bool) {
	t.known = append(t.known, key)
	v, ok := t.values[key]
	return v, ok
}

// done reports the keys that nobody asked for; others are keys known in other
// places, which may be what was meant.
func (t *table) done(others ...string) {
	for key := range t.values {
		if !slices.Contains(t.known, key) {
			t.add(t.at(key), "unknown key %q in %s: %s", key, t.name, suggestion(key, t.known, others))
		}
	}
}

// must reports a key that is not there; what says what to do about it.
func (t *table) must(key, what string) {
	if _, there := t.values[key]; !there {
		t.add(t.places[t.path], "%s is missing in %s: %s", key, t.name, what)
	}
}

// mustOneOf reports that none of some keys is there.
func (t *table) mustOneOf(keys ...string) {
	for _, key := range keys {
		if _, there := t.values[key]; there {
			return
		}
	}
	t.add(t.places[t.path], "%s says too little: it needs %s", t.name, oneOfWords(keys))
}

// kind names the type of a value in words of TOML.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	default:
		return "a list"
	}
}

// typed returns the value of a key if it is there and of type T; want says
// what the value must be, with an example.
func typed[T any](t *table, key, want string) (value T, ok bool) {
	v, there := t.get(key)
	if !there {
		return value, false
	}
	value, ok = v.(T)
	if !ok {
		t.wrong(key, "must be %s, not %s", want, kind(v))
	}
	return value, ok
}

// list returns the elements at a key. An array of tables has a type of its
// own in the toml package.
func (t *table) list(key, want string) []any {
	v, there := t.get(key)
	if !there {
		return nil
	}
	switch v := v.(type) {
	case []any:
		return v
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out
	}
	t.wrong(key, "must be a list, for example %s, not %s", want, kind(v))
	return nil
}

// sub returns the table at a key, nil if it is not there.
func (t *table) sub(key, name string) *table {
	v, there := t.get(key)
	if !there {
		return nil
	}
	values, ok := v.(map[string]any)
	if !ok {
		t.wrong(key, "must be a table, not %s", kind(v))
		return nil
	}
	return &table{reader: t.reader, path: join(t.path, key), name: name, values: values}
}

// row is the i-th table of the list at a key.
func (t *table) row(key string, i int, name string, values map[string]any) *table {
	return &table{reader: t.reader, path: fmt.Sprintf("%s[%d]", join(t.path, key), i), name: name, values: values}
}
