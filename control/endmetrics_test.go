package control

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tcpmitm/rules"
	"tcpmitm/splice"
)

func TestHistogramIsCumulative(t *testing.T) {
	h := splice.Histogram{Sum: uint64(2 * time.Second)}
	h.Buckets[0], h.Buckets[3], h.Buckets[len(h.Buckets)-1] = 1, 2, 4
	var m dto.Metric
	if err := histogram(descRTT, &h, "client").Write(&m); err != nil {
		t.Fatal(err)
	}
	got := m.GetHistogram()
	if got.GetSampleCount() != 7 || got.GetSampleSum() != 2 {
		t.Errorf("%d durations of %g s, want 7 of 2 s", got.GetSampleCount(), got.GetSampleSum())
	}
	for i, b := range got.GetBucket() {
		want := uint64(3)
		if i < 3 {
			want = 1
		}
		if b.GetCumulativeCount() != want || b.GetUpperBound() != splice.RTTBounds[i].Seconds() {
			t.Errorf("bucket %d is %v, want %d up to %v", i, b, want, splice.RTTBounds[i])
		}
	}
}

// TestDashboardKnowsOurMetrics holds the names, labels and values in the
// dashboard against the metrics that there are.
func TestDashboardKnowsOurMetrics(t *testing.T) {
	text, err := os.ReadFile("../packaging/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	families := gathered(t)
	used, ids := map[string]bool{}, map[int]bool{}
	selector := regexp.MustCompile(`(tcpmitm_[a-z_]+)(\{[^}]*\})?`)
	pair := regexp.MustCompile(`([a-z_]+)\s*(=~|!=|=)\s*"([^"]*)"`)
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: an id is there twice, or there is no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			found := selector.FindAllStringSubmatch(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("panel %q: no metric of ours in %s", p.Title, target.Expr)
			}
			for _, m := range found {
				name := m[1]
				if families[name] == nil {
					name = strings.TrimSuffix(name, "_bucket")
				}
				f := families[name]
				if f == nil {
					t.Errorf("panel %q: there is no metric %s", p.Title, m[1])
					continue
				}
				used[name] = true
				for _, l := range pair.FindAllStringSubmatch(m[2], -1) {
					if l[1] == "job" || l[1] == "instance" {
						continue
					}
					if l[2] != "=" || !hasLabel(f, l[1], l[3]) {
						t.Errorf("panel %q: %s never has %s", p.Title, name, l[0])
					}
				}
			}
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "tcpmitm_") && !used[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

func hasLabel(f *dto.MetricFamily, name, value string) bool {
	for _, m := range f.Metric {
		for _, l := range m.Label {
			if l.GetName() == name && l.GetValue() == value {
				return true
			}
		}
	}
	return false
}

// gathered is one scrape, by name.
func gathered(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	g := newGateway(t, 1, oneOfAll())
	g.Queues = func() []Queue { return []Queue{{Number: 29300}} }
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{g.Source})
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range all {
		out[f.GetName()] = f
	}
	return out
}

// oneOfAll is a set with one rule that has a fault.
func oneOfAll() *rules.Set {
	return rules.New([]*rules.Rule{{
		Name: "r", Match: rules.Match{Probability: 1}, Faults: []rules.Fault{{On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 2}}},
	}})
}
