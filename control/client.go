package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

const (
	askLimit        = 35 * time.Second // for one question, longer than the server takes
	maxAnswerOctets = 256 << 20
)

// Client asks a running tcpmitm.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient asks over a socket; nothing is opened yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: askLimit}}
}

// Status tells how the program is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var out Status
	return &out, c.get(ctx, "/v1/status", &out)
}

// Connections returns at most limit of the connections that a selection (see
// trace.ParseSelection) chooses; with all, those too that are over but for
// TIME-WAIT.
func (c *Client) Connections(ctx context.Context, filter string, limit int, all bool) (*Connections, error) {
	var out Connections
	q := url.Values{"filter": {filter}, "limit": {strconv.Itoa(limit)}, "all": {strconv.FormatBool(all)}}
	return &out, c.get(ctx, "/v1/connections?"+q.Encode(), &out)
}

// Kill ends connections.
func (c *Client) Kill(ctx context.Context, k *Kill) (*Killed, error) {
	var out Killed
	return &out, c.post(ctx, "/v1/connections/kill", k, &out)
}

// Counters returns what was counted.
func (c *Client) Counters(ctx context.Context) (*Counters, error) {
	var out Counters
	return &out, c.get(ctx, "/v1/counters", &out)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.exchange(ctx, http.MethodGet, path, nil, into)
}

// exchange asks and reads the answer.
func (c *Client) exchange(ctx context.Context, method, path string, question io.Reader, into any) error {
	a, err := c.ask(ctx, c.http, method, path, question)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswerOctets))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", c.socket, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer of %s is not of this version of tcpmitm: %w", c.socket, err)
	}
	return nil
}

// ask sends a question and returns the answer, its body to be read and closed.
// An answer that says what is wrong is an error.
func (c *Client) ask(ctx context.Context, h *http.Client, method, path string, question io.Reader) (*http.Response, error) {
	// The host part of the address has no meaning on a unix socket.
	q, err := http.NewRequestWithContext(ctx, method, "http://tcpmitm"+path, question)
	if err != nil {
		return nil, err
	}
	a, err := h.Do(q)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nobody answers on %s: start tcpmitm, or name its socket with --socket", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be opened: run as root, for example with sudo", c.socket)
	case err != nil:
		return nil, fmt.Errorf("asking over %s: %w", c.socket, err)
	case a.StatusCode == http.StatusOK:
		return a, nil
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswerOctets))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.socket, err)
	}
	var f failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		f.Error = a.Status
	}
	return nil, fmt.Errorf("%s answers: %s", c.socket, f.Error)
}
