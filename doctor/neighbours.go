package doctor

// Neighbours looks at other rules of this host alone, and returns what of them
// would break connections: rules that drop what tcpmitm sends, or lead packets
// past it. It is quick enough for each start, and changes nothing.
func Neighbours(h *Host, need Need) (broken []Finding) {
	x := &exam{Host: h, need: need}
	x.tables[0] = readTables(h, "iptables-save")
	x.tables[1] = readTables(h, "ip6tables-save")
	x.nft = readNFT(h)
	for _, c := range []struct {
		name string
		look func(*exam, *report)
	}{
		{"offload", (*exam).offload},
		{"source-check", (*exam).sourceCheckRules},
		{"other-chains", (*exam).otherChains},
	} {
		r := &report{check: c.name}
		c.look(x, r)
		for _, f := range r.findings {
			if f.Level == Broken {
				broken = append(broken, f)
			}
		}
	}
	return broken
}
