package doctor

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

const (
	// maxDevices bounds the devices that are asked about their offloads.
	maxDevices = 64
	// greatestPacket is what one message of NFQUEUE can bring, in octets.
	greatestPacket = 65536
)

// runs tells whether somebody holds the lock of a run.
func runs(h *Host, lock string) bool {
	text, _ := h.read("proc/net/unix")
	for _, l := range lines(text) {
		if f := strings.Fields(l); f[len(f)-1] == lock {
			return true
		}
	}
	return false
}

func (x *exam) devices(r *report) {
	for _, dev := range x.need.Devices {
		there := x.exists("sys/class/net/" + dev)
		switch {
		case there && !x.running:
			r.broken("ip link delete "+dev+", or another tun_prefix in [intercept]", "there is a device %s already, and no tcpmitm runs", dev)
		case !there && x.running:
			r.broken("restart tcpmitm, with the configuration that you give me", "a tcpmitm runs, but there is no device %s", dev)
		}
	}
	if len(r.findings) > 0 {
		return
	}
	if x.running {
		r.ok("a tcpmitm runs, and has its devices")
		return
	}
	r.ok("the names of the devices are free")
}

// receiveOffload is about packets that a device puts together.
func (x *exam) receiveOffload(r *report) {
	before := len(r.findings)
	asked := 0
	for _, dev := range x.folder("sys/class/net") {
		if dev == "lo" || dev == x.need.Devices[0] || dev == x.need.Devices[1] || asked == maxDevices {
			continue
		}
		asked++
		text, err := x.Run("", "ethtool", "-k", dev)
		if errors.Is(err, exec.ErrNotFound) {
			r.note("apt-get install ethtool", "there is no ethtool: nobody has looked at the devices' offloads")
			break
		}
		if err != nil {
			continue // not every device has any
		}
		x.features(r, dev, text)
	}
	links, err := x.Run("", "ip", "-d", "link", "show")
	if err != nil {
		r.note("apt-get install iproute2", "ip does not work, so nobody has looked at the devices' limits: %v", err)
	}
	x.links(r, links)
	if len(r.findings) == before {
		r.ok("no device puts packets together in a way that disturbs")
	}
}

// features judges what `ethtool -k` says of a device.
func (x *exam) features(r *report, dev, text string) {
	on := map[string]bool{}
	for _, l := range lines(text) {
		name, value, _ := strings.Cut(l, ":")
		on[name] = strings.HasPrefix(strings.TrimSpace(value), "on")
	}
	if on["large-receive-offload"] {
		r.warn("ethtool -K "+dev+" lro off", "%s does large receive offload, which loses where segments began and is not made for packets that are forwarded", dev)
	}
	if on["rx-gro-list"] {
		r.warn("ethtool -K "+dev+" rx-gro-list off", "%s hands on lists of packets (rx-gro-list) instead of super-packets: NFQUEUE gets them one by one", dev)
	}
	if on["rx-gro-hw"] {
		r.note("ethtool -K "+dev+" rx-gro-hw off, if connections are slow or captures look odd; GRO then is the kernel's own",
			"%s puts packets together in hardware (rx-gro-hw), which some drivers and firmwares have got wrong for packets that are forwarded", dev)
	}
	if on["rx-all"] {
		r.warn("ethtool -K "+dev+" rx-all off", "%s hands on frames that arrived broken (rx-all); tcpmitm sums all of them up only to drop them", dev)
	}
	if v, known := on["rx-checksumming"]; known && !v {
		r.note("ethtool -K "+dev+" rx on", "%s does not check checksums (rx-checksumming): the kernel and tcpmitm do, at the cost of speed", dev)
	}
	if on["hw-tc-offload"] {
		r.note("ethtool -K "+dev+" hw-tc-offload off, if connections pass by", "%s can forward in hardware (hw-tc-offload); what it does forward, no rule sees", dev)
	}
	if v, known := on["generic-receive-offload"]; known && !v {
		r.note("ethtool -K "+dev+" gro on", "%s does no generic receive offload: each packet comes alone, at about a tenth of the speed", dev)
	}
}

// links judges what `ip -d link show` says.
func (x *exam) links(r *report, text string) {
	dev := ""
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		if len(f) > 1 && l[0] != ' ' && l[0] != '\t' {
			dev, _, _ = strings.Cut(strings.TrimSuffix(f[1], ":"), "@")
		}
		for i, word := range f {
			next := ""
			if i+1 < len(f) {
				next = f[i+1]
			}
			n, _ := strconv.Atoi(next)
			switch {
			case (word == "gro_max_size" || word == "gro_ipv4_max_size") && n > greatestPacket:
				r.warn("ip link set dev "+dev+" "+word+" "+strconv.Itoa(greatestPacket),
					"%s makes packets of up to %d octets (%s), and NFQUEUE brings at most 64 KiB: the rest has to be sent again", dev, n, word)
			case word == "xdp" || word == "xdpgeneric" || word == "xdpoffload" || word == "prog/xdp":
				r.note("ip link set dev "+dev+" xdp off, if connections pass by", "%s has an XDP program; what that forwards or drops, no rule sees", dev)
			}
		}
	}
}
