package control

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"tcpmitm/splice"
)

// Bounds of what is told of handshakes in progress.
const (
	maxNets    = 50 // in an answer
	shownNets  = 10 // in a table for people
	loggedNets = 5  // in a line of the log
)

// SYNRecv answers GET /v1/synrecv: handshakes in progress, by the net of the
// client.
type SYNRecv struct {
	Flood        bool     `json:"flood"`                 // more than a hundred SYNs a second meet a limit of handshakes and are not answered
	FloodSeconds float64  `json:"flood_seconds"`         // how long it has lasted
	PerSecond    float64  `json:"unanswered_per_second"` // SYNs that meet a limit of handshakes, less the cookies that come back, of late
	Total        int      `json:"syn_recv"`              // half-open and unanswered together
	HalfOpen     int      `json:"half_open"`             // handshakes of which a state is kept
	Unanswered   int      `json:"unanswered"`            // SYN cookies that have not come back, and SYNs turned away, within the last half minute to minute; at least so many
	NetsSeen     int      `json:"nets_seen"`             // how many nets these come from; at least so many
	Nets         []SYNNet `json:"nets"`                  // those with the most, at most 50
}

// SYNNet is what one net has of it.
type SYNNet struct {
	Net        netip.Prefix `json:"net"`      // an IPv4 /24 or an IPv6 /64
	Total      int          `json:"syn_recv"` // half-open and unanswered together
	HalfOpen   int          `json:"half_open"`
	Unanswered int          `json:"unanswered"`
}

// synRecv asks all shards.
func (s *Source) synRecv() (*SYNRecv, error) {
	sum := map[netip.Prefix]splice.SYNRecv{}
	for _, shard := range s.Shards {
		if err := shard.Do(func(sh *splice.Shard) { sh.SYNRecv(sh.Now(), sum) }); err != nil {
			return nil, err
		}
	}
	out := &SYNRecv{NetsSeen: len(sum), Nets: []SYNNet{}}
	for _, n := range sum {
		out.HalfOpen += n.HalfOpen
		out.Unanswered += n.Unanswered
		out.Nets = append(out.Nets, SYNNet{n.Net, n.HalfOpen + n.Unanswered, n.HalfOpen, n.Unanswered})
	}
	out.Total = out.HalfOpen + out.Unanswered
	slices.SortFunc(out.Nets, func(a, b SYNNet) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), a.Net.Addr().Compare(b.Net.Addr()))
	})
	out.Nets = slices.Clip(out.Nets[:min(len(out.Nets), maxNets)])
	s.Floods.tell(out)
	return out, nil
}

func (s *Source) handleSYNRecv(mux *routes) {
	mux.HandleFunc("GET /v1/synrecv", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, func() (any, error) { return s.synRecv() })
	})
}

// SYNRecv returns the handshakes in progress.
func (c *Client) SYNRecv(ctx context.Context) (*SYNRecv, error) {
	var out SYNRecv
	return &out, c.get(ctx, "/v1/synrecv", &out)
}

// WriteTable prints it for people.
func (r *SYNRecv) WriteTable(out io.Writer) error {
	if r.Flood {
		fmt.Fprintf(out, "SYN flood for %s, %.0f SYNs a second without an answer\n", age(r.FloodSeconds), r.PerSecond)
	}
	fmt.Fprintf(out, "SYN-RECV %d: %d half-open, %d without a state and unanswered; from %d nets\n", r.Total, r.HalfOpen, r.Unanswered, r.NetsSeen)
	if len(r.Nets) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYN-RECV\tHALF-OPEN\tUNANSWERED\tSOURCE")
	for _, n := range r.Nets[:min(len(r.Nets), shownNets)] {
		fmt.Fprintf(w, "%d\t%d\t%d\t%v\n", n.Total, n.HalfOpen, n.Unanswered, n.Net)
	}
	return w.Flush()
}

// top names the nets with the most, for a line of the log.
func (r *SYNRecv) top() string {
	var parts []string
	for _, n := range r.Nets[:min(len(r.Nets), loggedNets)] {
		parts = append(parts, fmt.Sprintf("%v %d", n.Net, n.Total))
	}
	return strings.Join(parts, ", ")
}
