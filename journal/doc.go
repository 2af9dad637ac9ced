// Package journal writes every fault that fires into a file, one JSON object a
// line, in the form in which `tcpmitm trace --json` prints them
// (docs/trace.md).
//
// A Journal reads a trace.Tap of its own: shards never wait for the disk. What
// the disk is too slow for is lost, and a line of type "lost" says how much. When
// the file has grown to its size it is renamed to FILE.1, what was FILE.1 to
// FILE.2 and so on, and a new one is begun; as many old ones are kept as was
// asked for. So the disk never holds more than size times keep + 1.
package journal
