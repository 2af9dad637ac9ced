package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"tcpmitm/config"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, &config.Log{Level: slog.LevelWarn, Format: config.JSON})
	log.Info("no")
	log.Warn("yes", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "yes" || line["n"] != 1.0 {
		t.Errorf("%s: %v", out.String(), err)
	}
	out.Reset()
	newLogger(&out, &config.Log{}).Info("yes", "time", "mine")
	if s := out.String(); !strings.Contains(s, `level=INFO msg=yes time=mine`) || strings.Count(s, "\n") != 1 {
		t.Errorf("text: %s", s)
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	c := config.Default().Log
	if err := (&runFlags{}).apply(&c); err != nil || c != config.Default().Log {
		t.Errorf("no flags: %+v, %v", c, err)
	}
	if err := (&runFlags{level: "error", format: "json"}).apply(&c); err != nil || c.Level != slog.LevelError || c.Format != config.JSON {
		t.Errorf("flags: %+v, %v", c, err)
	}
}
