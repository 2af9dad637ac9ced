package labnet

import (
	"strings"
	"testing"
)

func TestHostsText(t *testing.T) {
	both, four := hostsText(true), hostsText(false)
	for _, line := range []string{"10.2.0.2\tserver\n", "10.1.0.1\tgateway\n", "10.1.0.2\tclient\n", "127.0.0.1\tlocalhost\n"} {
		if !strings.Contains(both, line) || !strings.Contains(four, line) {
			t.Errorf("%q is missing:\n%s\n%s", line, both, four)
		}
	}
	if !strings.Contains(both, "fd02::2\tserver\n") {
		t.Errorf("the server has no IPv6 address:\n%s", both)
	}
	if strings.Contains(four, "::") {
		t.Errorf("without IPv6 there are its addresses:\n%s", four)
	}
}

func TestFilesFirst(t *testing.T) {
	for conf, want := range map[string]string{
		"":                                     "hosts: files\n",
		"passwd: files\n hosts: dns files\n":   "passwd: files\nhosts: files\n",
		"hosts: resolve [!UNAVAIL=return] dns": "hosts: files\n",
		"# hosts: x\nnetworks: files":          "# hosts: x\nnetworks: files\nhosts: files\n",
	} {
		if got := filesFirst(conf); got != want {
			t.Errorf("%q becomes %q, want %q", conf, got, want)
		}
	}
}

func TestCheckOptions(t *testing.T) {
	for _, v := range []struct {
		o    Options
		says string
	}{
		{Options{MTU: 575}, "MTU"},
		{Options{MTU: 65536}, "MTU"},
		{Options{MTU: -1}, "MTU"},
		{Options{Loss: 1}, "loss"},
		{Options{Loss: -0.1}, "loss"},
	} {
		if err := Check(v.o); err == nil || !strings.Contains(err.Error(), v.says) {
			t.Errorf("%+v: %v", v.o, err)
		}
	}
}
