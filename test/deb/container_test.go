package deb

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tcpmitm/config"
)

// TestContainerfile wants the recipe to copy what is there and to name the
// program where the manual of the sidecar does.
func TestContainerfile(t *testing.T) {
	b, err := os.ReadFile("../../packaging/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-\n]+) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, source := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join("../..", source)); err != nil {
				t.Errorf("the recipe copies %s: %v", source, err)
			}
		}
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	for _, want := range []string{"golang:" + wanted, "iptables", `ENTRYPOINT ["/usr/local/sbin/tcpmitm"]`, "STOPSIGNAL SIGTERM"} {
		if !strings.Contains(text, want) {
			t.Errorf("the recipe lacks %s", want)
		}
	}
}

// TestSidecarManifest reads the manifest in the manual as Kubernetes would,
// and the configuration in it as tcpmitm would.
func TestSidecarManifest(t *testing.T) {
	b, err := os.ReadFile("../../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	d := yaml.NewDecoder(strings.NewReader(text))
	var conf struct{ Data map[string]string }
	if err := d.Decode(&conf); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(conf.Data["config.toml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatalf("the sidecar's configuration is refused: %v", err)
	}
	if c.Intercept.Mode != config.Local || c.Rules.Len() != 1 || c.Control.Metrics == "" {
		t.Errorf("the sidecar's configuration is %+v", c)
	}
	var pod struct {
		Spec struct {
			InitContainers []struct {
				RestartPolicy   string `yaml:"restartPolicy"`
				Args            []string
				SecurityContext struct{ Privileged bool }                 `yaml:"securityContext"`
				StartupProbe    struct{ Exec struct{ Command []string } } `yaml:"startupProbe"`
			} `yaml:"initContainers"`
		}
	}
	if err := d.Decode(&pod); err != nil {
		t.Fatal(err)
	}
	if n := len(pod.Spec.InitContainers); n != 1 {
		t.Fatalf("%d sidecars, want one", n)
	}
	s := pod.Spec.InitContainers[0]
	if s.RestartPolicy != "Always" || !s.SecurityContext.Privileged || len(s.Args) == 0 || len(s.StartupProbe.Exec.Command) == 0 {
		t.Errorf("the sidecar is %+v", s)
	}
}
