package config

import (
	"fmt"
	"math"
	"time"

	"tcpmitm/rules"
)

// Bounds of profiles.
const (
	minMSS         = 88    // what Linux still takes (TCP_MIN_MSS)
	maxMSS         = 65495 // 65,535 octets of IPv4 less the headers
	maxWindow      = 65535 << 14
	maxScale       = 14 // RFC 7323, 2.3
	maxACKDelay    = time.Minute
	maxTimeWait    = 10 * time.Minute
	maxSYNRetries  = 32
	minUserTimeout = 100 * time.Millisecond
	maxUserTimeout = 24 * time.Hour
	maxKeepAlive   = 24 * time.Hour
	maxProbes      = 127
	maxInitial     = 1000 // segments
	maxDSCP        = 63
)

// Where keep_alive says only after how long: the values of Linux.
const (
	probeInterval = 75 * time.Second
	probeCount    = 9
)

// profile reads how one leg's endpoint behaves; other is the other leg.
func (t *table) profile(p *rules.Profile) {
	optional(t, "mss", &p.MSS, 0, maxMSS)
	if v := p.MSS.Value; v > 0 && v < minMSS {
		t.wrong("mss", "%d is out of range: must be 0, which leaves the option out, or from %d to %d", v, minMSS, maxMSS)
	}
	t.window(p)
	t.optionalBoolean("sack", &p.SACK)
	t.optionalBoolean("timestamps", &p.Timestamps)
	t.optionalBoolean("ecn", &p.ECN)
	t.isn(&p.ISN)
	t.optionalDuration("ack_delay", &p.ACKDelay, 0, maxACKDelay)
	t.optionalDuration("time_wait", &p.TimeWait, 0, maxTimeWait)
	optional(t, "retries", &p.SYNRetries, 0, maxSYNRetries)
	t.optionalDuration("user_timeout", &p.UserTimeout, minUserTimeout, maxUserTimeout)
	t.keepAlive(&p.KeepAlive)
	oneOfOptional(t, "congestion", &p.Congestion, []choice[string]{{"cubic", "cubic"}, {"newreno", "newreno"}})
	optional(t, "initial_window", &p.InitialWindow, 1, maxInitial)
	optional(t, "ttl", &p.TTL, 1, math.MaxUint8)
	optional(t, "dscp", &p.DSCP, 0, maxDSCP)
	t.done()
}

// window reads the window and its scale, which belong together: an unscaled
// window has 16 bits.
func (t *table) window(p *rules.Profile) {
	if _, there := t.values["window"]; there {
		before := len(t.found)
		t.sizeInt("window", &p.Window.Value, 1, maxWindow)
		p.Window.Set = len(t.found) == before
	} else {
		t.get("window")
	}
	switch v, there := t.get("window_scale"); v := v.(type) {
	case bool:
		if v {
			t.wrong("window_scale", "must be a shift count from 0 to %d, or false, which leaves the option out", maxScale)
			return
		}
		p.WindowScale = rules.Some(-1)
	default:
		if there {
			optional(t, "window_scale", &p.WindowScale, 0, maxScale)
		}
	}
	if !p.Window.Set || !p.WindowScale.Set {
		return
	}
	if most := math.MaxUint16 << max(0, p.WindowScale.Value); p.Window.Value > most {
		t.wrong("window", "%d octets cannot be said with this window_scale: must be at most %d, or window_scale larger", p.Window.Value, most)
	}
}

func (t *table) isn(into *rules.Optional[rules.ISN]) {
	const right = `a number from 0 to 4294967295, "random" or "clock"`
	switch v, there := t.get("isn"); v := v.(type) {
	case int64:
		if v < 0 || v > math.MaxUint32 {
			t.wrong("isn", "%d is out of range: must be %s", v, right)
			return
		}
		*into = rules.Some(rules.ISN{Mode: rules.ISNFixed, Fixed: uint32(v)})
	case string:
		switch v {
		case "random":
			*into = rules.Some(rules.ISN{Mode: rules.ISNRandom})
		case "clock":
			*into = rules.Some(rules.ISN{Mode: rules.ISNClock})
		default:
			t.wrong("isn", "unknown value %q: must be %s", v, right)
		}
	default:
		if there {
			t.wrong("isn", "must be %s, not %s", right, kind(v))
		}
	}
}

// keepAlive reads false, a time, or a table.
func (t *table) keepAlive(into *rules.Optional[rules.KeepAlive]) {
	const right = `a time such as "2h", { idle = "2h", interval = "75s", count = 9 }, or false`
	k := rules.KeepAlive{Interval: probeInterval, Count: probeCount}
	before := len(t.found)
	switch v, there := t.get("keep_alive"); v := v.(type) {
	case nil:
		if !there {
			return
		}
	case string:
		t.duration("keep_alive", &k.Idle, time.Second, maxKeepAlive)
	case map[string]any:
		s := t.sub("keep_alive", "keep_alive of "+t.name)
		s.must("idle", `say after how long a silent peer is probed, for example idle = "2h"`)
		s.duration("idle", &k.Idle, time.Second, maxKeepAlive)
		s.duration("interval", &k.Interval, time.Second, maxKeepAlive)
		whole(s, "count", &k.Count, 1, maxProbes)
		s.done()
	case bool:
		if v {
			t.wrong("keep_alive", "does not say after how long: must be %s", right)
		}
		k = rules.KeepAlive{}
	default:
		t.wrong("keep_alive", "must be %s, not %s", right, kind(v))
	}
	if len(t.found) == before {
		*into = rules.Some(k)
	}
}

// profiles reads client and server.
func (t *table) profiles(r *rules.Rule) {
	for _, l := range legs {
		if s := t.sub(l.word, fmt.Sprintf("%s of %s", l.word, t.name)); s != nil {
			s.profile(&r.Profiles[l.value])
		}
	}
}
