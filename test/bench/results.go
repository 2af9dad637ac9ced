package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

// results are all that was measured. Samples are by contender, then by
// metric, then by round; a round that failed has no entry.
type results struct {
	Began      time.Time                             `json:"began"`
	Machine    string                                `json:"machine"`
	Rounds     int                                   `json:"rounds"`
	Contenders []string                              `json:"contenders"`
	Samples    map[string]map[string]map[int]float64 `json:"samples"`
	Idle       map[string][]idleSample               `json:"idle"`
	Micro      map[string]microSample                `json:"micro,omitempty"`
	Targets    []verdict                             `json:"targets"`
	Medians    map[string]map[string]spread          `json:"medians"`
	Failures   []string                              `json:"failures,omitempty"`
	Notes      []string                              `json:"notes,omitempty"`
}

// machineFrom is how many idle connections there must be for the machine's
// memory to say something.
const machineFrom = 5000

// idleSample is the memory at some number of idle connections, in octets, and
// what a segment costs when they have something to say in turn, in microseconds
// of processor time.
type idleSample struct {
	Connections int     `json:"connections"`
	Resident    int64   `json:"resident"`
	Machine     int64   `json:"machine"`
	TurnProcess float64 `json:"turn_process"`
	TurnMachine float64 `json:"turn_machine"`
	Segments    float64 `json:"segments"` // of an exchange
}

// spread is the middle and the ends of some samples.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func newResults(p *plan, chosen []*contender) *results {
	r := &results{
		Began: time.Now().UTC(), Machine: machineText(), Rounds: p.rounds,
		Samples: map[string]map[string]map[int]float64{}, Idle: map[string][]idleSample{},
	}
	for _, c := range chosen {
		r.Contenders = append(r.Contenders, c.key)
	}
	return r
}

func (r *results) add(contender, metric string, round int, value float64) {
	if r.Samples[contender] == nil {
		r.Samples[contender] = map[string]map[int]float64{}
	}
	if r.Samples[contender][metric] == nil {
		r.Samples[contender][metric] = map[int]float64{}
	}
	r.Samples[contender][metric][round] = value
}

// addOwn is add for what only a contender with a process has.
func (r *results) addOwn(s *site, metric string, round int, value float64) {
	if s.pid() != 0 {
		r.add(s.key, metric, round, value)
	}
}

func (r *results) addIdle(s *site, i idleResult) {
	r.Idle[s.key] = append(r.Idle[s.key], idleSample{i.connections, i.resident, i.machine, i.turn.process * 1e6, i.turn.machine * 1e6, i.turn.segments})
	if i.note != "" {
		r.Notes = append(r.Notes, s.name+": "+i.note)
	}
}

func (r *results) fail(where string, err error) {
	r.Failures = append(r.Failures, where+": "+err.Error())
}

// note keeps what a load generator complained of.
func (r *results) note(s *site, what string, errors int) {
	if errors > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d errors among the %s of one round", s.name, errors, what))
	}
}

// spread of one metric of one contender; false if it has no sample.
func (r *results) spread(contender, metric string) (spread, bool) {
	var values []float64
	for _, v := range r.Samples[contender][metric] {
		values = append(values, v)
	}
	return spreadOf(values)
}

func spreadOf(values []float64) (spread, bool) {
	if len(values) == 0 {
		return spread{}, false
	}
	return spread{median(values), slices.Min(values), slices.Max(values)}, true
}

func median(values []float64) float64 {
	values = slices.Clone(values)
	sort.Float64s(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// ratio is the median of what one contender has of another's, each taken
// from the same round.
func (r *results) ratio(metric, of, to string) (float64, bool) {
	var list []float64
	for round, v := range r.Samples[of][metric] {
		if base, ok := r.Samples[to][metric][round]; ok && base > 0 {
			list = append(list, v/base)
		}
	}
	if len(list) == 0 {
		return 0, false
	}
	return median(list), true
}

// perConnection is how many octets an idle connection costs: the process,
// and the machine beyond what plain forwarding costs, which is the ends of
// the connections themselves. It is taken at the largest number.
func (r *results) perConnection(contender string) (resident, machine float64, connections int, ok bool) {
	list := r.Idle[contender]
	if len(list) < 2 {
		return 0, 0, 0, false
	}
	first, last := list[0], list[len(list)-1]
	n := last.Connections - first.Connections
	if n <= 0 {
		return 0, 0, 0, false
	}
	resident = float64(last.Resident-first.Resident) / float64(n)
	machine = float64(last.Machine-first.Machine) / float64(n)
	if plain := r.Idle["plain"]; len(plain) > 1 {
		if p := plain[len(plain)-1]; min(n, p.Connections) >= machineFrom {
			machine -= float64(p.Machine-plain[0].Machine) / float64(p.Connections)
			return resident, machine, n, true
		}
	}
	return resident, 0, n, true
}

// turns are the costs of a segment with the fewest and with the most connections
// in turn.
func (r *results) turns(contender string) (few, many idleSample, ok bool) {
	list := slices.DeleteFunc(slices.Clone(r.Idle[contender]), func(i idleSample) bool { return i.TurnMachine == 0 })
	if len(list) < 2 {
		return few, many, false
	}
	return list[0], list[len(list)-1], true
}

// save writes everything as JSON.
func (r *results) save(path string) error {
	r.Targets = r.judge()
	r.Medians = map[string]map[string]spread{}
	for contender, metrics := range r.Samples {
		r.Medians[contender] = map[string]spread{}
		for metric := range metrics {
			r.Medians[contender][metric], _ = r.spread(contender, metric)
		}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, append(b, '\n'), 0o644))
}
