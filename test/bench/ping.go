package main

import (
	"slices"
	"time"
)

// runPing measures the round trip of one octet on one connection.
func runPing(s *site, duration time.Duration) (median time.Duration, err error) {
	r, err := openRaw(s.lab.client, "", s.target(), echoPort)
	if err != nil {
		return 0, err
	}
	defer r.close()
	b := make([]byte, 1)
	var trips []time.Duration
	for began := time.Now(); time.Since(began) < duration; {
		at := time.Now()
		if err := r.exchange(b); err != nil {
			return 0, err
		}
		trips = append(trips, time.Since(at))
	}
	slices.Sort(trips)
	return trips[len(trips)/2], nil
}
