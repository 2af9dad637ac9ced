package expect

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// suites, suite and so on are the parts of JUnit's XML that its many readers
// agree about.
type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Time     string   `xml:"time,attr"`
	Suite    suite    `xml:"testsuite"`
}

type suite struct {
	Name      string     `xml:"name,attr"`
	Tests     int        `xml:"tests,attr"`
	Failures  int        `xml:"failures,attr"`
	Errors    int        `xml:"errors,attr"`
	Time      string     `xml:"time,attr"`
	Timestamp string     `xml:"timestamp,attr"`
	Cases     []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Time    string   `xml:"time,attr"`
	Failure *trouble `xml:"failure,omitempty"`
	Error   *trouble `xml:"error,omitempty"`
	Out     string   `xml:"system-out,omitempty"`
}

type trouble struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes results as JUnit XML: a test case for each thing that was
// wanted. broken, if not nil, is why nothing could be judged.
func WriteJUnit(out io.Writer, name string, began time.Time, took time.Duration, results []Result, broken error) error {
	seconds := fmt.Sprintf("%.3f", took.Seconds())
	s := suite{Name: name, Time: seconds, Timestamp: began.UTC().Format("2006-01-02T15:04:05")}
	for _, r := range results {
		c := testCase{Name: r.Name, Class: name, Time: seconds, Out: r.Seen}
		if !r.OK {
			c.Failure = &trouble{"seen: " + r.Seen, "wanted: " + r.Name + "\nseen: " + r.Seen}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	if broken != nil {
		s.Cases = append(s.Cases, testCase{Name: "judged", Class: name, Time: seconds, Error: &trouble{broken.Error(), broken.Error()}})
		s.Errors++
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(&suites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Time: seconds, Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}
