package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"tcpmitm/splice"
	"tcpmitm/trace"
)

const (
	// killBatch is how many connections a shard ends before it looks at
	// packets again.
	killBatch = 1024
	// maxKillConns is how many connections one question can name.
	maxKillConns = 4096
	// maxKilledShown bounds the list in the answer.
	maxKilledShown = 1000
)

// Kill is the body of POST /v1/connections/kill. Just one of filter, conns and
// all says which connections are meant.
type Kill struct {
	Filter string   `json:"filter"`  // a selection, as with GET /v1/connections
	Conns  []uint64 `json:"conns"`   // numbers of connections, at most 4096
	All    bool     `json:"all"`     // every one
	DryRun bool     `json:"dry_run"` // only tell what would be done
}

// Killed answers POST /v1/connections/kill.
type Killed struct {
	Killed  int                `json:"killed"` // how many were ended; with dry_run, how many would be
	DryRun  bool               `json:"dry_run"`
	List    []KilledConnection `json:"connections"` // of these, the first 1000
	Missing []uint64           `json:"missing"`     // of conns, those that there are not, or that are over
}

// KilledConnection is a connection that was ended.
type KilledConnection struct {
	Conn   uint64         `json:"conn"`
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	Rule   string         `json:"rule"`
}

// chooser reads whom a question means.
func (k *Kill) chooser() (splice.Chooser, error) {
	ways := 0
	for _, said := range []bool{k.Filter != "", len(k.Conns) > 0, k.All} {
		if said {
			ways++
		}
	}
	switch {
	case ways == 0:
		return nil, errors.New(`say which connections: {"filter": "port 80"}, {"conns": [17]}, or {"all": true} for every one`)
	case ways > 1:
		return nil, errors.New("only one of filter, conns and all can be said")
	case len(k.Conns) > maxKillConns:
		return nil, fmt.Errorf("more than %d conns: ask several times, or with a filter", maxKillConns)
	case k.All:
		return nil, nil
	case k.Filter != "":
		f, err := trace.ParseSelection(k.Filter)
		if err == nil && f == nil {
			err = errors.New("the filter is empty: say {\"all\": true} if every connection is meant")
		}
		return f.Chooses, err
	}
	named := make(map[uint64]bool, len(k.Conns))
	for _, c := range k.Conns {
		named[c] = true
	}
	return func(c *splice.Candidate) bool { return named[c.Conn] }, nil
}

// serveKill answers POST /v1/connections/kill.
func (s *Source) serveKill(w http.ResponseWriter, r *http.Request) {
	var k Kill
	if status, err := readBody(r.Body, &k, `{"filter": "port 80 and idle 10m", "dry_run": true}`); err != nil {
		fail(w, status, err)
		return
	}
	choose, err := k.chooser()
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	out, err := s.kill(&k, choose)
	if err != nil && out.Killed > 0 {
		err = fmt.Errorf("after %d connections were ended: %w", out.Killed, err)
	}
	answer(w, func() (any, error) { return out, err })
}

// kill ends the connections that are meant, of all shards. Those that begin
// meanwhile are not.
func (s *Source) kill(k *Kill, choose splice.Chooser) (*Killed, error) {
	out := &Killed{DryRun: k.DryRun, List: []KilledConnection{}, Missing: []uint64{}}
	met := make(map[uint64]bool, len(k.Conns))
	take := func(list []splice.Killed) {
		for _, c := range list {
			if len(k.Conns) > 0 {
				met[c.Conn] = true
			}
			if len(out.List) < maxKilledShown {
				out.List = append(out.List, KilledConnection(c))
			}
		}
		out.Killed += len(list)
	}
	var err error
	for _, shard := range s.Shards {
		if k.DryRun {
			err = look(shard, choose, take)
		} else {
			err = end(shard, choose, take)
		}
		if err != nil {
			break
		}
	}
	for _, c := range k.Conns {
		if !met[c] && !slices.Contains(out.Missing, c) {
			out.Missing = append(out.Missing, c)
		}
	}
	if !k.DryRun && s.Log != nil {
		attrs := []any{"connections", out.Killed, "filter", k.Filter, "named", len(k.Conns), "all", k.All}
		if err != nil {
			attrs = append(attrs, "error", err)
		}
		s.Log.Info("an operator has ended connections", attrs...)
	}
	return out, err
}

// end ends the connections of one shard that are meant, some at a time.
func end(shard *splice.Shard, choose splice.Chooser, take func([]splice.Killed)) error {
	newest := shard.NewestConn()
	for {
		var batch []splice.Killed
		if err := ask(shard, func(sh *splice.Shard) { batch = sh.Kill(sh.Now(), nil, killBatch, newest, choose) }); err != nil {
			return err
		}
		take(batch)
		if len(batch) < killBatch {
			return nil
		}
	}
}

// look finds the connections that end would end.
func look(shard *splice.Shard, choose splice.Chooser, take func([]splice.Killed)) error {
	var list []splice.Killed
	err := ask(shard, func(sh *splice.Shard) {
		sh.Choose(sh.Now(), nil, 0, false, func(c *splice.Candidate) bool {
			if choose == nil || choose(c) {
				list = append(list, splice.Killed{Conn: c.Conn, Client: c.Client, Server: c.Server, Rule: c.Rule})
			}
			return false
		})
	})
	take(list)
	return err
}
