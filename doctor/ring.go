package doctor

// Linux from which on a TUN device and a netlink socket can be written to by
// io_uring without waiting.
const ringMajor, ringMinor = 6, 0

// ring judges whether small packets can go out many with one system call. It
// is only slower without.
func (x *exam) ring(r *report) {
	release, _ := x.read("proc/sys/kernel/osrelease")
	major, minor, ok := version(release)
	switch off := x.setting("kernel/io_uring_disabled"); {
	case ok && older(major, minor, ringMajor, ringMinor):
		r.note("boot Linux 6.0 or newer", "each small packet costs a system call of its own: Linux %s has no io_uring that could spare it", release)
	case off == "1" || off == "2":
		r.note("sysctl kernel.io_uring_disabled=0", "each small packet costs a system call of its own: io_uring is switched off (kernel.io_uring_disabled = %s)", off)
	default:
		r.ok("io_uring is there: small packets leave many at a time")
	}
}
