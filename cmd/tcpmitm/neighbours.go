package main

import "tcpmitm/doctor"

// warnOfNeighbours says at the start what of the host's other rules breaks
// connections that we take: nobody should have to find that out from
// connections that hang. All else is for tcpmitm doctor to say.
func (g *gateway) warnOfNeighbours(h *doctor.Host) {
	need, err := needOf(g.conf)
	if err != nil {
		return // no rules can be made of it, and who makes them has said so
	}
	for _, f := range doctor.Neighbours(h, need) {
		g.log.Warn("connections will break: "+f.Text, "remedy", f.Remedy)
	}
}
