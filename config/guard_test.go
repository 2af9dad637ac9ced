package config

import (
	"testing"
	"time"
)

func TestGuardWait(t *testing.T) {
	for text, want := range map[string]struct {
		wait    time.Duration
		forever bool
	}{
		``:                    {guardPatience, false},
		`guard = "auto"`:      {guardPatience, false},
		`when_down = "block"`: {0, true},
		"when_down = \"block\"\nguard = \"auto\"": {0, true},
		"when_down = \"block\"\nguard = \"10s\"":  {10 * time.Second, false},
		`guard = "never"`:                         {0, true},
		`guard = "0s"`:                            {0, false},
		`guard = "1m30s"`:                         {90 * time.Second, false},
	} {
		c, err := Parse("guard.toml", "[intercept]\n"+text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if wait, forever := c.Intercept.GuardWait(); wait != want.wait || forever != want.forever {
			t.Errorf("%s: %v, forever %v; want %v, %v", text, wait, forever, want.wait, want.forever)
		}
	}
}
