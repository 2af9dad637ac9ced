package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"tcpmitm/trace"
)

// Ends answers GET /v1/ends: connections that are over. The last 2,048 are
// remembered.
type Ends struct {
	// Ended is how many have ended in this run: ask with ?after= this number
	// for those that come later.
	Ended uint64         `json:"ended"`
	List  []*trace.Event `json:"ends"` // oldest first
}

func (s *Source) serveEnds(w http.ResponseWriter, r *http.Request) {
	filter, err := trace.ParseFilter(r.URL.Query().Get("filter"))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var after uint64
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			fail(w, http.StatusBadRequest, errors.New("after must be a whole number: that of ends seen so far"))
			return
		}
	}
	if s.Tracer == nil {
		fail(w, http.StatusServiceUnavailable, errors.New("this run remembers no ends"))
		return
	}
	out := Ends{List: []*trace.Event{}}
	list, n := s.Tracer.Ended(after, filter)
	out.Ended = n
	out.List = append(out.List, list...)
	write(w, http.StatusOK, &out)
}

// Ends returns the connections that a filter chooses of those that have ended
// since there were after of them.
func (c *Client) Ends(ctx context.Context, filter string, after uint64) (*Ends, error) {
	var out Ends
	q := url.Values{"filter": {filter}, "after": {fmt.Sprint(after)}}
	return &out, c.get(ctx, "/v1/ends?"+q.Encode(), &out)
}
