package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tcpmitm/config"
)

// RuleChange is the body of POST /v1/rules/{enable,disable,set,reload}.
type RuleChange struct {
	Name  string   `json:"name"`
	Set   []string `json:"set"`   // TOML, laid over the rule
	Unset []string `json:"unset"` // keys
	Live  bool     `json:"live"`  // for connections that there are, too
}

// handleRules adds what is asked of the rulebook.
func (s *Source) handleRules(mux *routes) {
	mux.HandleFunc("GET /v1/rules", func(w http.ResponseWriter, r *http.Request) {
		if s.Rulebook == nil {
			fail(w, http.StatusNotFound, errNoRulebook)
			return
		}
		write(w, http.StatusOK, s.Rulebook.List())
	})
	for path, do := range map[string]func(b *Rulebook, c *RuleChange) (any, error){
		"enable":  func(b *Rulebook, c *RuleChange) (any, error) { return b.Switch(c.Name, true, c.Live) },
		"disable": func(b *Rulebook, c *RuleChange) (any, error) { return b.Switch(c.Name, false, c.Live) },
		"set":     func(b *Rulebook, c *RuleChange) (any, error) { return b.Set(c.Name, c.Set, c.Unset, c.Live) },
		"reload":  func(b *Rulebook, c *RuleChange) (any, error) { return b.Reload(c.Live) },
	} {
		mux.HandleFunc("POST /v1/rules/"+path, func(w http.ResponseWriter, r *http.Request) { s.change(w, r, do) })
	}
}

var errNoRulebook = errors.New("the rules of this tcpmitm cannot be changed")

// change carries out one change of the rules.
func (s *Source) change(w http.ResponseWriter, r *http.Request, do func(*Rulebook, *RuleChange) (any, error)) {
	if s.Rulebook == nil {
		fail(w, http.StatusNotFound, errNoRulebook)
		return
	}
	var c RuleChange
	if status, err := readBody(r.Body, &c, `{"name": "late goodbye", "live": false}`); err != nil {
		fail(w, status, err)
		return
	}
	v, err := do(s.Rulebook, &c)
	var none *config.NoRuleError
	var wrong *config.Error
	switch {
	case err == nil:
		write(w, http.StatusOK, v)
	case errors.As(err, &none):
		fail(w, http.StatusNotFound, err)
	case errors.As(err, &wrong):
		fail(w, http.StatusUnprocessableEntity, err)
	default:
		fail(w, http.StatusConflict, err)
	}
}

// readBody reads the body of a question, which looks like the example; with an
// error comes the status of the answer.
func readBody(body io.Reader, into any, example string) (status int, err error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err = d.Decode(into)
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d octets", long.Limit)
	case err != nil:
		return http.StatusBadRequest, fmt.Errorf("the body is not JSON such as %s: %w", example, err)
	case d.More():
		return http.StatusBadRequest, errors.New("the body has more than one question in it: ask once for each")
	}
	return http.StatusOK, nil
}
