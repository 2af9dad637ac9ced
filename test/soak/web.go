package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tcpmitm/test/lab"
)

// Sizes of what nginx serves, in octets.
const (
	smallSize = 300
	pageSize  = 30 << 10
	largeSize = 3 << 20
)

const nginxConfig = `
daemon off;
user root;
worker_processes 1;
pid ROOT/nginx.pid;
error_log ROOT/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  client_body_temp_path ROOT/body;
  proxy_temp_path ROOT/t1; fastcgi_temp_path ROOT/t2; uwsgi_temp_path ROOT/t3; scgi_temp_path ROOT/t4;
  keepalive_requests 200;
  keepalive_timeout 20s;
  server {
    listen ADDR4:80; listen ADDR4:8080; listen [ADDR6]:80; listen [ADDR6]:8080;
    root ROOT/www;
    location /slow/ { alias ROOT/www/; limit_rate 1m; }
  }
}
`

// startWeb runs nginx on the server, and makes the client that asks it.
func (t *traffic) startWeb() error {
	root := t.lab.Path("nginx")
	if err := os.MkdirAll(filepath.Join(root, "www"), 0o755); err != nil {
		return err
	}
	t.webSums = map[string]string{}
	for name, size := range map[string]int{"small": smallSize, "page": pageSize, "large": largeSize} {
		b, err := io.ReadAll(io.LimitReader(content(t.plan.Seed, true), int64(size)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "www", name), b, 0o644); err != nil {
			return err
		}
		t.webSums["/"+name], t.webSums["/slow/"+name] = sumOf(b), sumOf(b)
	}
	text := strings.NewReplacer("ROOT", root, "ADDR4", lab.ServerIP4.String(), "ADDR6", lab.ServerIP6.String()).Replace(nginxConfig)
	p := t.lab.Server.Start("nginx", "-c", t.lab.File("nginx.conf", text), "-e", root+"/error.log")
	t.web = &http.Client{
		Transport: &http.Transport{DialContext: t.lab.Client.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: 10 * time.Second, DisableCompression: true},
		Timeout:   2 * t.client.waits.patience,
	}
	for deadline := time.Now().Add(controlLimit); ; time.Sleep(50 * time.Millisecond) {
		c, err := t.lab.Server.Dial(lab.IPv6.At(webMendedPort), time.Second)
		if err == nil {
			return c.Close()
		}
		if !p.Running() || time.Now().After(deadline) {
			return fmt.Errorf("nginx does not listen: %w\n%s", err, p.Output())
		}
	}
}
