package nfq

import "encoding/binary"

// Netfilter's verdicts.
const (
	nfDrop   = 0
	nfAccept = 1
	nfRepeat = 4 // it meets the table that it was taken from once more
)

// verdictLen is the length in octets of one verdict message.
const verdictLen = nlmsgHeaderLen + nfgenmsgLen + attrHeaderLen + 8

// maxVerdicts bounds the verdicts of one burst: one for each packet to
// accept, and the batch for all others. A message of the kernel holds one
// packet, but nothing promises that; who finds the buffer full flushes it.
const maxVerdicts = burstMessages + 1

// verdicts collects the verdicts of a burst, so that one system call gives
// them all. A batch verdict takes every packet of the queue up to its id,
// so those to be accepted come before it, each by itself.
type verdicts struct {
	queue   uint16
	n       int // verdicts in buf
	buf     [maxVerdicts * verdictLen]byte
	drops   int    // packets that a batch has to drop
	highest uint32 // id up to which it does
	some    bool   // there was a packet, and highest is its id
}

// accept lets the packet go on.
func (v *verdicts) accept(id uint32) { v.add(msgVerdict, nfAccept, id) }

// dropUpTo makes the batch reach up to id.
func (v *verdicts) dropUpTo(id uint32) {
	if v.drops == 0 || int32(id-v.highest) > 0 {
		v.highest, v.some = id, true
	}
	v.drops++
}

// spare takes a packet out of the batch, which has its verdict by then. The
// kernel answers a batch for nothing with an error that has to be read.
func (v *verdicts) spare() { v.drops-- }

// again has the next batch reach as far as the last one should have: the kernel
// has not got some verdicts, and their packets wait.
func (v *verdicts) again() { v.drops++ }

// full tells whether another accept would leave no room for the batch.
func (v *verdicts) full() bool { return v.n == maxVerdicts-1 }

// take closes the burst with its batch and returns the messages to send;
// the next burst begins empty.
func (v *verdicts) take() []byte {
	if v.drops > 0 {
		v.add(msgVerdictBatch, nfDrop, v.highest)
	}
	b := v.buf[:v.n*verdictLen]
	v.n, v.drops = 0, 0
	return b
}

func (v *verdicts) add(kind uint16, verdict, id uint32) {
	putVerdict(v.buf[v.n*verdictLen:], kind, v.queue, verdict, id)
	v.n++
}

// putVerdict writes one verdict message.
func putVerdict(b []byte, kind, queue uint16, verdict, id uint32) {
	b = b[:verdictLen]
	binary.NativeEndian.PutUint32(b, verdictLen)
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], 1) // NLM_F_REQUEST: only failures are answered
	binary.NativeEndian.PutUint32(b[8:], 0)
	binary.NativeEndian.PutUint32(b[12:], 0)
	b[16], b[17] = 0, 0 // any family, NFNETLINK_V0
	binary.BigEndian.PutUint16(b[18:], queue)
	binary.NativeEndian.PutUint16(b[20:], attrHeaderLen+8)
	binary.NativeEndian.PutUint16(b[22:], attrVerdict)
	binary.BigEndian.PutUint32(b[24:], verdict)
	binary.BigEndian.PutUint32(b[28:], id)
}
