package services

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// MaxBytes is the most that /bytes/N has: its hash is computed beforehand.
const MaxBytes = 1 << 30

// Headers of answers.
const (
	SHA256Header = "X-Content-SHA256" // of a body, in hexadecimal
)

// page is what / says.
const page = "Hello from a server that knows nothing of the gateway.\n"

// Web answers over HTTP:
//
//	GET /            a small page
//	GET /close       the same, ended by the end of the connection: the server closes first
//	GET /bytes/N     N known octets (see Positions), with their SHA-256; ranges are possible
//	POST, PUT /echo  the body
//	POST, PUT /...   how many octets the body had, and their SHA-256
func Web() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { sendPage(w) })
	mux.HandleFunc("GET /close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Transfer-Encoding", "identity") // no length, no chunks: it ends where the stream does
		sendPage(w)
	})
	mux.HandleFunc("GET /bytes/{n}", sendBytes)
	mux.HandleFunc("POST /echo", returnBody)
	mux.HandleFunc("PUT /echo", returnBody)
	mux.HandleFunc("POST /", takeBody)
	mux.HandleFunc("PUT /", takeBody)
	return mux
}

func sendPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, page)
}

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 || n > MaxBytes {
		http.Error(w, fmt.Sprintf("/bytes/N wants a number of octets from 0 to %d", MaxBytes), http.StatusBadRequest)
		return
	}
	sum := sha256.New()
	_, _ = io.Copy(sum, NewPositions(n))
	w.Header().Set(SHA256Header, hex.EncodeToString(sum.Sum(nil)))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, NewPositions(n))
}

// returnBody sends the body back while it comes.
func returnBody(w http.ResponseWriter, r *http.Request) {
	// Where that is not possible the body is read first.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	_, _ = io.Copy(w, r.Body)
}

func takeBody(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, fmt.Sprintf("after %d octets: %v", n, err), http.StatusBadRequest)
		return
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	w.Header().Set(SHA256Header, hash)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%d octets, SHA-256 %s\n", n, hash)
}

// positionLine is how long a line of Positions is.
const positionLine = 16

// Positions is a stream in which each octet tells where it belongs: lines of
// 16 octets, each the position of its first octet in 15 hexadecimal digits.
type Positions struct{ size, at int64 }

// NewPositions makes the first size octets of it.
func NewPositions(size int64) *Positions { return &Positions{size: size} }

// Read implements io.Reader.
func (p *Positions) Read(b []byte) (n int, err error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-p.at)]
	var line [positionLine]byte
	for n < len(b) {
		fillLine(&line, p.at)
		c := copy(b[n:], line[p.at%positionLine:])
		n += c
		p.at += int64(c)
	}
	return n, nil
}

// fillLine writes the line in which a position is.
func fillLine(line *[positionLine]byte, at int64) {
	const digits = "0123456789abcdef"
	first := uint64(at - at%positionLine)
	for i := positionLine - 2; i >= 0; i-- {
		line[i] = digits[first&0xf]
		first >>= 4
	}
	line[positionLine-1] = '\n'
}

// Seek implements io.Seeker.
func (p *Positions) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, errors.New("a position before the beginning")
	}
	p.at = offset
	return offset, nil
}
