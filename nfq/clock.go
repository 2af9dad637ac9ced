package nfq

import (
	"time"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// epoch ties Go's monotonic clock, which costs no system call, to
// CLOCK_MONOTONIC: all shards then share one clock, and its readings can be
// compared with those of other programs.
var epoch, epochMonotonic = readEpoch()

func readEpoch() (time.Time, endpoint.Time) {
	var ts unix.Timespec
	// The call cannot fail for this clock; and if it did, the readings would
	// still be a monotonic clock, only with another zero.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Now(), endpoint.Time(ts.Nano()) + 1
}

func now() endpoint.Time { return epochMonotonic + endpoint.Time(time.Since(epoch)) }

// Epoch is the wall clock's reading at time 0 of the clock that stamps
// packets.
func Epoch() time.Time { return epoch.Round(0).Add(-time.Duration(epochMonotonic)) }
