package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"

	"tcpmitm/splice"
	"tcpmitm/trace"
)

// Bounds of what a client may cost.
const (
	maxClients        = 64       // connections at once; more wait
	maxHeaderOctets   = 16 << 10 // with the longest filter, however it is encoded
	maxBodyOctets     = 64 << 10
	headerLimit       = 5 * time.Second
	readLimit         = 10 * time.Second
	writeLimit        = 30 * time.Second
	idleLimit         = time.Minute
	closeLimit        = 2 * time.Second
	defaultConnsLimit = 10_000
)

// Server answers on one listener.
type Server struct {
	http *http.Server
	done chan struct{}
}

// routes are a mux that knows what it routes.
type routes struct {
	*http.ServeMux
	patterns []string // each is a method and a path, but for the one that catches all others
}

// HandleFunc adds a route.
func (r *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	r.patterns = append(r.patterns, pattern)
	r.ServeMux.HandleFunc(pattern, h)
}

// Serve answers questions about a source until Close.
func Serve(l net.Listener, source *Source) *Server {
	quit := make(chan struct{})
	s := serve(l, routesOf(source, quit))
	// Streams have no end of their own.
	s.http.RegisterOnShutdown(func() { close(quit) })
	return s
}

// routesOf are all that can be asked of a source; docs/openapi.yaml describes
// them. Streams end with quit.
func routesOf(source *Source, quit <-chan struct{}) *routes {
	mux := &routes{ServeMux: http.NewServeMux()}
	mux.HandleFunc("GET /v1/status", source.serveStatus)
	mux.HandleFunc("GET /v1/connections", source.serveConnections)
	mux.HandleFunc("POST /v1/connections/kill", source.serveKill)
	mux.HandleFunc("GET /v1/counters", func(w http.ResponseWriter, r *http.Request) {
		answer(w, func() (any, error) { return source.counters() })
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) { source.serveEvents(w, r, quit) })
	mux.HandleFunc("GET /v1/capture", func(w http.ResponseWriter, r *http.Request) { source.serveCapture(w, r, quit) })
	mux.HandleFunc("GET /v1/ends", source.serveEnds)
	source.handleRules(mux)
	source.handleSYNRecv(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, errors.New("there are GET /v1/status, /v1/connections, /v1/counters, /v1/events, /v1/capture, /v1/ends, /v1/synrecv and /v1/rules, and POST /v1/connections/kill and /v1/rules/enable, disable, set and reload"))
	})
	return mux
}

func serve(l net.Listener, h http.Handler) *Server {
	s := &Server{
		http: &http.Server{
			Handler:           http.MaxBytesHandler(h, maxBodyOctets),
			MaxHeaderBytes:    maxHeaderOctets,
			ReadHeaderTimeout: headerLimit,
			ReadTimeout:       readLimit,
			WriteTimeout:      writeLimit,
			IdleTimeout:       idleLimit,
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(netutil.LimitListener(l, maxClients)) // ends with Close
	}()
	return s
}

// Close stops listening, gives answers that are under way a moment, and
// returns when the server is gone.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

// serveConnections answers GET /v1/connections.
func (s *Source) serveConnections(w http.ResponseWriter, r *http.Request) {
	limit, err := limitOf(r)
	all, err2 := boolOf(r, "all")
	filter, err3 := trace.ParseSelection(r.URL.Query().Get("filter"))
	if err := cmp.Or(err, err2, err3); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var choose splice.Chooser
	if filter != nil {
		choose = filter.Chooses
	}
	answer(w, func() (any, error) { return s.connections(limit, all, choose) })
}

// limitOf reads ?limit=.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultConnsLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxConnections {
		return 0, errors.New("limit must be a whole number from 0 to " + strconv.Itoa(maxConnections))
	}
	return n, nil
}

// boolOf reads a parameter that is false if it is not there.
func boolOf(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, errors.New(name + " must be true or false")
}

// answer writes what ask returns as JSON.
func answer(w http.ResponseWriter, ask func() (any, error)) {
	v, err := ask()
	switch {
	case errors.Is(err, splice.ErrBusy), errors.Is(err, splice.ErrStopped):
		fail(w, http.StatusServiceUnavailable, err)
	case err != nil:
		fail(w, http.StatusInternalServerError, err)
	default:
		write(w, http.StatusOK, v)
	}
}

func fail(w http.ResponseWriter, status int, err error) {
	write(w, status, failure{err.Error()})
}

// failure is the answer to what cannot be answered.
type failure struct {
	Error string `json:"error"`
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who hangs up has his reasons
}
