package soak

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"time"
)

// Plan says what a run is made of.
type Plan struct {
	Duration time.Duration // of the traffic
	Seed     uint64
	Load     float64 // 1 is some 35 new connections and 6 MB a second
	Folder   string  // for the report and the samples; "" keeps none

	journal string // tcpmitm's
}

// Bounds of a plan.
const (
	MinDuration = 20 * time.Second
	MaxDuration = 24 * time.Hour
	maxLoad     = 20
)

// Check says what is wrong with a plan.
func (p *Plan) Check() error {
	switch {
	case p.Duration < MinDuration || p.Duration > MaxDuration:
		return fmt.Errorf("DURATION is %v: must be from %v to %v", p.Duration, MinDuration, MaxDuration)
	case !(p.Load > 0 && p.Load <= maxLoad):
		return fmt.Errorf("LOAD is %v: must be more than 0 and at most %v", p.Load, maxLoad)
	}
	return nil
}

// shortRun is up to which duration a run is one of `make test`, where
// everything that takes its time must take less of it.
const shortRun = time.Minute

func (p *Plan) short() bool { return p.Duration <= shortRun }

// phase is how long a phase lasts, about.
func (p *Plan) phase() time.Duration {
	return min(max(p.Duration/12, 4*time.Second), time.Minute)
}

// sampleEvery is how often the process is looked at.
func (p *Plan) sampleEvery() time.Duration {
	if p.short() {
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

// waits are the times after which somebody gives up.
type waits struct {
	timeWait    time.Duration // TIME-WAIT at tcpmitm, all of it
	userTimeout time.Duration // data may go unacknowledged so long, at tcpmitm and at the applications
	silence     time.Duration // a client of the silent class hears nothing
	patience    time.Duration // a client that must get on does not
	dead        time.Duration // within which keep-alives have found a peer to be gone, from either side

	gatewayKeepAlive, keepAlive net.KeepAliveConfig // tcpmitm's, the applications'
}

// waits of a run. The hosts may lose up to 2.4 % of the packets each way, so a
// few probes would not do.
func (p *Plan) waits() waits {
	if p.short() {
		return waits{
			timeWait: time.Second, userTimeout: 12 * time.Second, silence: 4 * time.Second, patience: 25 * time.Second, dead: 12 * time.Second,
			gatewayKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 6},
			keepAlive:        net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 6},
		}
	}
	return waits{
		timeWait: time.Minute, userTimeout: 30 * time.Second, silence: 20 * time.Second, patience: 40 * time.Second, dead: 35 * time.Second,
		gatewayKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 2 * time.Second, Count: 8},
		keepAlive:        net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 8},
	}
}

// client is after what silence a client gives up, by class.
func (w *waits) client(c class) time.Duration {
	if c == silent {
		return w.silence
	}
	return w.patience
}

// restLimit is within what time after the last connection nothing must be left
// of any.
func (p *Plan) restLimit() time.Duration {
	w := p.waits()
	return w.timeWait + w.dead + w.patience
}

// idle is how many connections say next to nothing.
func (p *Plan) idle() int {
	if p.short() {
		return max(2, int(60*p.Load))
	}
	return max(2, int(300*p.Load))
}

// draws is a stream of random numbers.
type draws struct{ *rand.Rand }

// stream is that of one concern, so that what one draws changes no other.
func (p *Plan) stream(concern string) draws {
	h := fnv.New64a()
	_, _ = h.Write([]byte(concern))
	return draws{rand.New(rand.NewPCG(p.Seed, h.Sum64()))}
}

func (d draws) chance(p float64) bool { return d.Float64() < p }

// between draws a time.
func (d draws) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)+1))
}

func (d draws) from(least, most int) int { return least + d.IntN(most-least+1) }

func pick[T any](d draws, of ...T) T { return of[d.IntN(len(of))] }
