package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	wholeSize = 1 << 30  // of the big transfers
	shortSize = 64 << 20 // of the same with -short
	partSize  = 1 << 20  // of each of the parallel downloads
	parallels = 200
	requests  = 500 // over one connection
)

// TestTransferWithCurl moves a gigabyte each way between curl and nginx.
func TestTransferWithCurl(t *testing.T) {
	l := New(t, Options{})
	www := startNginx(t, l)
	size := int64(wholeSize)
	if testing.Short() {
		size = shortSize
	}
	sum := payload(t, www+"/big.bin", 1, size)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		url := "http://" + hostPort(f.At(80))
		began := time.Now()
		got := l.Client.Run("bash", "-o", "pipefail", "-c", "curl -sS --fail "+url+"/big.bin | sha256sum")
		if !strings.HasPrefix(got, sum) {
			t.Errorf("download: SHA-256 %s, want %s", got, sum)
		}
		t.Logf("download of %d MiB: %v", size>>20, time.Since(began).Round(time.Millisecond))

		began = time.Now()
		up := "/up/" + f.String() + ".bin"
		l.Client.Run("curl", "-sS", "--fail", "-T", www+"/big.bin", url+up)
		t.Logf("upload of %d MiB: %v", size>>20, time.Since(began).Round(time.Millisecond))
		if got := fileSum(t, www+up); got != sum {
			t.Errorf("upload: SHA-256 %s, want %s", got, sum)
		}
		if err := os.Remove(www + up); err != nil {
			t.Error(err)
		}
	})
}

// TestParallelDownloads has 200 downloads at the same time, each slowed down
// by nginx so that they really overlap.
func TestParallelDownloads(t *testing.T) {
	l := New(t, Options{})
	www := startNginx(t, l)
	sum := payload(t, www+"/part.bin", 2, partSize)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		folder := l.Path("parts-" + f.String())
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		url := fmt.Sprintf("http://%s/part[1-%d]", hostPort(f.At(80)), parallels)
		l.Client.Run("curl", "-sS", "--fail", "-Z", "--parallel-immediate",
			"--parallel-max", fmt.Sprint(parallels), "-o", folder+"/#1", url)
		for i := 1; i <= parallels; i++ {
			if got := fileSum(t, fmt.Sprintf("%s/%d", folder, i)); got != sum {
				t.Errorf("download %d: SHA-256 %s, want %s", i, got, sum)
			}
		}
	})
}

// TestKeepAlive sends many requests over one connection.
func TestKeepAlive(t *testing.T) {
	l := New(t, Options{})
	www := startNginx(t, l)
	sum := payload(t, www+"/small.bin", 3, 10_000)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		list := l.Path("list-" + f.String())
		var b strings.Builder
		for range requests {
			fmt.Fprintf(&b, "url = \"http://%s/small.bin\"\noutput = \"%s.out\"\n", hostPort(f.At(80)), list)
		}
		if err := os.WriteFile(list, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		out := l.Client.Run("curl", "-sS", "--fail", "-g", "-K", list, "-w", "%{num_connects} %{size_download}\n")
		answers := strings.Split(strings.TrimSpace(out), "\n")
		connections := 0
		for _, a := range answers {
			var n, size int
			if _, err := fmt.Sscan(a, &n, &size); err != nil || size != 10_000 {
				t.Fatalf("curl said %q, want 10000 octets", a)
			}
			connections += n
		}
		if len(answers) != requests || connections != 1 {
			t.Errorf("%d answers over %d connections, want %d over 1", len(answers), connections, requests)
		}
		if got := fileSum(t, list+".out"); got != sum {
			t.Errorf("last answer: SHA-256 %s, want %s", got, sum)
		}
	})
}

// TestIperf3 measures both directions and four streams. What counts is that
// all streams move data to their end; the floor of the rate is low on
// purpose, for this is no benchmark.
func TestIperf3(t *testing.T) {
	const floor = 20e6 // bit/s
	l := New(t, Options{})
	l.Server.Start("iperf3", "-s")
	l.StartProxy(clientSide)
	time.Sleep(200 * time.Millisecond)
	l.EachFamily(func(t *testing.T, f Family) {
		for _, c := range []struct {
			name    string
			args    []string
			streams int
		}{
			{"upload", nil, 1},
			{"download", []string{"-R"}, 1},
			{"upload-4", []string{"-P", "4"}, 4},
			{"download-4", []string{"-P", "4", "-R"}, 4},
		} {
			l.Sub(c.name, func(t *testing.T) {
				args := append([]string{"-c", f.Server().String(), "-J", "-t", "1", "--connect-timeout", "5000"}, c.args...)
				out := l.Client.Run("iperf3", args...)
				var result struct {
					End struct {
						Streams []struct {
							Receiver struct {
								Bytes int64 `json:"bytes"`
							} `json:"receiver"`
						} `json:"streams"`
						Received struct {
							Rate float64 `json:"bits_per_second"`
						} `json:"sum_received"`
					} `json:"end"`
					Error string `json:"error"`
				}
				if err := json.Unmarshal([]byte(out), &result); err != nil || result.Error != "" {
					t.Fatalf("iperf3: %v %s\n%s", err, result.Error, tail(out))
				}
				if len(result.End.Streams) != c.streams {
					t.Errorf("%d streams, want %d", len(result.End.Streams), c.streams)
				}
				for i, s := range result.End.Streams {
					if s.Receiver.Bytes == 0 {
						t.Errorf("stream %d moved nothing", i)
					}
				}
				if result.End.Received.Rate < floor {
					t.Errorf("%.0f bit/s, want at least %.0f", result.End.Received.Rate, floor)
				}
				t.Logf("%.2f Gbit/s", result.End.Received.Rate/1e9)
			})
		}
	})
}

// TestLoss repairs 1% of lost packets, each way on each leg. Without segment
// offload the unit that gets lost is a segment of a real wire.
func TestLoss(t *testing.T) {
	const size = 16 << 20
	l := New(t, Options{NoOffload: true, Loss: 0.01})
	www := startNginx(t, l)
	sum := payload(t, www+"/big.bin", 4, size)
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		url := "http://" + hostPort(f.At(80))
		began := time.Now()
		got := l.Client.Run("bash", "-o", "pipefail", "-c", "curl -sS --fail "+url+"/big.bin | sha256sum")
		if !strings.HasPrefix(got, sum) {
			t.Errorf("download: SHA-256 %s, want %s", got, sum)
		}
		t.Logf("download of %d MiB: %v", size>>20, time.Since(began).Round(time.Millisecond))
		began = time.Now()
		up := "/up/" + f.String() + ".bin"
		l.Client.Run("curl", "-sS", "--fail", "-T", www+"/big.bin", url+up)
		t.Logf("upload of %d MiB: %v", size>>20, time.Since(began).Round(time.Millisecond))
		if got := fileSum(t, www+up); got != sum {
			t.Errorf("upload: SHA-256 %s, want %s", got, sum)
		}
		for _, n := range []*Namespace{l.Client, l.Server} {
			if lost := n.Counted(f, "lab-loss"); lost < 20 {
				t.Errorf("only %d packets were lost at %s: the test proves nothing", lost, n.Name)
			}
		}
	})
}
