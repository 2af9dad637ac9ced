package nfq

import "strings"

// What others need to know of us to judge a host.
const (
	// ChainPrefix begins the names of our chains.
	ChainPrefix = chainPrefix
	// ReceiveBuffer is what each queue's socket asks the kernel for, in octets.
	ReceiveBuffer = receiveBuffer
)

// Restore returns the rules of one family as iptables-restore reads them; ""
// if there are none.
func (f *Firewall) Restore(v6 bool) string {
	if !f.in.covers(v6) {
		return ""
	}
	var b strings.Builder
	for _, t := range f.in.tables(v6, inputTable) {
		for _, l := range t.save() {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

// DeviceNames are the names of the devices towards clients and servers.
func (f *Firewall) DeviceNames() [2]string {
	return [2]string{f.in.TUNPrefix + legSuffix[0], f.in.TUNPrefix + legSuffix[1]}
}
