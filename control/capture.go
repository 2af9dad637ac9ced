package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tcpmitm/capture"
	"tcpmitm/splice"
)

// stallLimit is how long a reader of a capture may stand still. The gateway
// does not wait for it, but what waits for it holds memory.
const stallLimit = 10 * time.Minute

// serveCapture answers GET /v1/capture: pcapng, without end.
func (s *Source) serveCapture(w http.ResponseWriter, r *http.Request, quit <-chan struct{}) {
	filter, snap, err := wanted(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if s.Tracer == nil {
		fail(w, http.StatusServiceUnavailable, errors.New("this run cannot be captured"))
		return
	}
	recorder := capture.NewRecorder(filter, snap)
	detach, err := s.Tracer.Attach(recorder)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	defer detach()
	stop, err := s.wires.begin(s.tellWires)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	defer stop()
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-pcapng")
	w.WriteHeader(http.StatusOK)
	ctx, cancel := contextUntil(r.Context(), quit)
	defer cancel()
	about := &capture.About{Version: s.Version, Filter: r.URL.Query().Get("filter"), Epoch: s.Tracer.Epoch()}
	// Who hangs up, or does not read, ends the capture.
	_ = recorder.Run(ctx, w, func() error {
		_ = c.SetWriteDeadline(time.Now().Add(stallLimit))
		return c.Flush()
	}, about)
}

// tellWires says to all shards whether somebody captures.
func (s *Source) tellWires(on bool) error {
	return s.everyShard(func(sh *splice.Shard) { sh.WatchWire(on) })
}

// Capture attaches to the packets that a filter (see trace.ParseFilter)
// chooses; of each come at most snap octets, or all if that is 0. What is
// returned is a stream for a capture.BlockReader. From then on nothing that
// happens is missed. It ends with ctx.
func (c *Client) Capture(ctx context.Context, filter string, snap int) (io.ReadCloser, error) {
	q := url.Values{"filter": {filter}, "snap": {strconv.Itoa(snap)}}
	a, err := c.ask(ctx, &http.Client{Transport: c.http.Transport}, http.MethodGet, "/v1/capture?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if t := a.Header.Get("Content-Type"); t != "application/x-pcapng" {
		_ = a.Body.Close()
		return nil, fmt.Errorf("%s answers with %q: it is of another version of tcpmitm", c.socket, t)
	}
	return a.Body, nil
}
