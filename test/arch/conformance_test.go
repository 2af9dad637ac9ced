package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents below say what is where and which test shows it. What they
// name must be there, and what they are to cover they must cover: they are
// read like code.
//
// A reference is `file#name`: a file of Go from the top of the repository and
// something declared in it, or a file of endpoint/testdata/scripts and one of
// its scripts.
const (
	top     = "../.."
	scripts = "endpoint/testdata/scripts"
)

// document is one Markdown file whose tables have a row for each key.
type document struct {
	file string
	keys string // file in testdata: one key a line, then fields that the row must repeat
	// place is the column that names code, or 0; shown names tests; remark
	// holds the reason where no test is named. Columns count from 0, the key.
	place, shown, remark int
}

var documents = []document{
	{"docs/rfc9293.md", "rfc9293.txt", 4, 5, 6},
	{"docs/rfcs.md", "rfcs.txt", 2, 3, 4},
	{"docs/scripts.md", "scripts.txt", 0, 1, 2},
	{"docs/known-bugs.md", "known-bugs.txt", 0, 2, 3},
}

func TestDocumentsCoverTheirKeys(t *testing.T) {
	for _, d := range documents {
		t.Run(d.file, func(t *testing.T) {
			rows := tableRows(t, d.file)
			keys := keyLines(t, d.keys)
			if len(keys) < 20 {
				t.Fatalf("only %d keys in %s", len(keys), d.keys)
			}
			known := map[string]bool{}
			for _, fields := range keys {
				key := fields[0]
				if known[key] {
					t.Errorf("%s has %s twice", d.keys, key)
				}
				known[key] = true
				var found [][]string
				for _, r := range rows {
					if r[0] == key {
						found = append(found, r)
					}
				}
				if len(found) != 1 {
					t.Errorf("%s has %d rows, wanted 1", key, len(found))
					continue
				}
				checkRow(t, d, found[0], fields)
			}
			for _, r := range rows {
				if !known[r[0]] {
					t.Errorf("row %q is of nothing that %s knows", r[0], d.keys)
				}
			}
		})
	}
}

// checkRow demands what makes a row worth its line: the given fields, and a
// test or a reason.
func checkRow(t *testing.T, d document, row, fields []string) {
	t.Helper()
	if len(row) <= d.remark {
		t.Errorf("%s: %d columns, wanted %d", row[0], len(row), d.remark+1)
		return
	}
	for i, want := range fields {
		if row[i] != want {
			t.Errorf("%s: column %d is %q, wanted %q", row[0], i, row[i], want)
		}
	}
	tests := 0
	for _, r := range references(row[d.shown]) {
		if !isTest(r) {
			t.Errorf("%s: %s#%s is no test", row[0], r.file, r.name)
		}
		tests++
	}
	if tests == 0 && len(row[d.remark]) < 20 {
		t.Errorf("%s: neither a test nor a reason", row[0])
	}
	if d.place > 0 && len(references(row[d.place])) == 0 && len(row[d.remark]) < 20 {
		t.Errorf("%s: neither a place in the code nor a reason", row[0])
	}
}

// TestDocumentsNameWhatExists follows every reference.
func TestDocumentsNameWhatExists(t *testing.T) {
	names := declared{}
	for _, d := range documents {
		text := readFile(t, d.file)
		refs := references(text)
		if len(refs) < 10 {
			t.Errorf("%s has only %d references", d.file, len(refs))
		}
		for _, r := range refs {
			if !names.has(t, r) {
				t.Errorf("%s: there is no %s#%s", d.file, r.file, r.name)
			}
		}
		// What is meant as a reference must be understood as one.
		if n := len(meant.FindAllString(text, -1)); n != len(refs) {
			t.Errorf("%s has %d references, of which only %d are understood", d.file, n, len(refs))
		}
	}
}

// TestRFCsAreNamedWhereTheyRule: the code that docs/rfcs.md names for an RFC
// names that RFC in a comment.
func TestRFCsAreNamedWhereTheyRule(t *testing.T) {
	for _, row := range tableRows(t, "docs/rfcs.md") {
		number := regexp.MustCompile(`RFC ` + strings.TrimPrefix(row[0], "RFC ") + `\b`)
		for _, r := range references(row[2]) {
			if !number.MatchString(comments(t, r.file)) {
				t.Errorf("%s is not named in %s", row[0], r.file)
			}
		}
	}
}

type reference struct{ file, name string }

var meant = regexp.MustCompile(`\.(go|pkt)#`)

var referencePattern = regexp.MustCompile("`([a-z0-9_/.-]+\\.(?:go|pkt))#([^`]+)`")

func references(text string) []reference {
	var all []reference
	for _, m := range referencePattern.FindAllStringSubmatch(text, -1) {
		all = append(all, reference{m[1], m[2]})
	}
	return all
}

func isTest(r reference) bool {
	return strings.HasSuffix(r.file, ".pkt") ||
		strings.HasSuffix(r.file, "_test.go") && (strings.HasPrefix(r.name, "Test") || strings.HasPrefix(r.name, "Fuzz"))
}

// declared holds what each file that was asked about declares.
type declared map[string][]string

func (d declared) has(t *testing.T, r reference) bool {
	t.Helper()
	names, ok := d[r.file]
	if !ok {
		if strings.HasSuffix(r.file, ".pkt") {
			names = scriptNames(t, r.file)
		} else {
			names = goNames(t, r.file)
		}
		d[r.file] = names
	}
	return slices.Contains(names, r.name)
}

func scriptNames(t *testing.T, file string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(readFile(t, filepath.Join(scripts, file))) {
		if name, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "=== "); ok {
			if slices.Contains(names, name) {
				t.Errorf("%s has two scripts %q", file, name)
			}
			names = append(names, name)
		}
	}
	return names
}

// goNames are the functions, methods, types, constants and variables of a
// file, and the fields of its structs as Type.Field.
func goNames(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	var names []string
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, specNames(spec)...)
			}
		}
	}
	return names
}

func specNames(spec ast.Spec) []string {
	var names []string
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names = append(names, n.Name)
		}
	case *ast.TypeSpec:
		names = append(names, s.Name.Name)
		if st, ok := s.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				for _, n := range f.Names {
					names = append(names, s.Name.Name+"."+n.Name)
				}
			}
		}
	}
	return names
}

func comments(t *testing.T, file string) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, file), nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return ""
	}
	var text strings.Builder
	for _, g := range f.Comments {
		// A number may stand on the line after its "RFC".
		text.WriteString(strings.Join(strings.Fields(g.Text()), " ") + "\n")
	}
	return text.String()
}

// tableRows are the rows of all tables of a Markdown file but their heads.
func tableRows(t *testing.T, file string) [][]string {
	t.Helper()
	var rows [][]string
	lines := strings.Split(readFile(t, file), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") || i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|-") {
			continue
		}
		var row []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		rows = append(rows, row)
	}
	return rows
}

func keyLines(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); line != "" && line[0] != '#' {
			keys = append(keys, strings.Split(line, "\t"))
		}
	}
	return keys
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
