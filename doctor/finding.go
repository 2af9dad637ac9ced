package doctor

import "fmt"

// Level says how bad a finding is.
type Level int

// The levels.
const (
	OK      Level = iota
	Note          // good to know
	Warning       // some connections, or much speed, may be lost
	Broken        // tcpmitm does not start, or connections do not work
)

var levelNames = [...]string{OK: "ok", Note: "note", Warning: "warning", Broken: "broken"}

func (l Level) String() string { return levelNames[l] }

// MarshalText writes a level in words.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is what one check has to say.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // what a person can do
	// Fixable: Fix does it.
	Fixable bool   `json:"fixable,omitempty"`
	Fixed   bool   `json:"fixed,omitempty"`
	Failed  string `json:"fix_failed,omitempty"` // why Fix could not

	fix func(*Host) error
}

// report collects the findings of one check.
type report struct {
	check    string
	findings []Finding
}

func (r *report) add(l Level, remedy, format string, a ...any) *Finding {
	r.findings = append(r.findings, Finding{Check: r.check, Level: l, Text: fmt.Sprintf(format, a...), Remedy: remedy})
	return &r.findings[len(r.findings)-1]
}

func (r *report) ok(format string, a ...any)             { r.add(OK, "", format, a...) }
func (r *report) note(remedy, format string, a ...any)   { r.add(Note, remedy, format, a...) }
func (r *report) warn(remedy, format string, a ...any)   { r.add(Warning, remedy, format, a...) }
func (r *report) broken(remedy, format string, a ...any) { r.add(Broken, remedy, format, a...) }
func (f *Finding) fixedBy(fix func(*Host) error)         { f.Fixable, f.fix = true, fix }

// Fix does what is safe about the findings, and notes on each how that went.
func Fix(h *Host, findings []Finding) {
	for i := range findings {
		f := &findings[i]
		if f.fix == nil {
			continue
		}
		if err := f.fix(h); err != nil {
			f.Failed = err.Error()
			continue
		}
		f.Fixed = true
	}
}

// Count tells how many findings of a level there are that nobody has fixed.
func Count(findings []Finding, l Level) (n int) {
	for i := range findings {
		if findings[i].Level == l && !findings[i].Fixed {
			n++
		}
	}
	return n
}
