// Package doctor finds what on a host would break interception, and says for
// each finding what to do about it. It reads files of /proc, /sys and /etc and
// the output of a few tools, all of them through a Host, so that it can be
// shown any host; and it changes nothing unless Fix is called, which does only
// what cannot hurt anybody else: it loads modules, and sets what the kernel
// keeps for tcpmitm's own devices.
//
//	findings := doctor.Examine(host, need)
//	doctor.Fix(host, findings)
//
// A check that cannot be carried out, for want of a tool or of a privilege,
// says so itself: silence never means that nobody has looked.
package doctor
