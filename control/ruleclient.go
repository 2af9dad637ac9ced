package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
)

// Rules returns all rules and what they have done.
func (c *Client) Rules(ctx context.Context) (*Rules, error) {
	var out Rules
	return &out, c.get(ctx, "/v1/rules", &out)
}

// SwitchRule enables or disables a rule.
func (c *Client) SwitchRule(ctx context.Context, name string, on, live bool) (*Rule, error) {
	path := "/v1/rules/disable"
	if on {
		path = "/v1/rules/enable"
	}
	var out Rule
	return &out, c.post(ctx, path, &RuleChange{Name: name, Live: live}, &out)
}

// SetRule changes what a rule says.
func (c *Client) SetRule(ctx context.Context, change *RuleChange) (*Rule, error) {
	var out Rule
	return &out, c.post(ctx, "/v1/rules/set", change, &out)
}

// ReloadRules lets tcpmitm read its file again.
func (c *Client) ReloadRules(ctx context.Context, live bool) (*Reloaded, error) {
	var out Reloaded
	return &out, c.post(ctx, "/v1/rules/reload", &RuleChange{Live: live}, &out)
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.exchange(ctx, http.MethodPost, path, bytes.NewReader(b), into)
}
