package control

import (
	"encoding"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tcpmitm/trace"
)

var rewriteOpenAPI = flag.Bool("rewrite-openapi", false, "write the schemas of docs/openapi.yaml anew from the types")

const openAPIFile = "../docs/openapi.yaml"

type openAPI struct {
	Paths      map[string]map[string]operation
	Components struct {
		Schemas, Responses, Parameters map[string]any
		RequestBodies                  map[string]any `yaml:"requestBodies"`
	}
}

type operation struct {
	Summary    string
	Parameters []map[string]any
	Responses  map[string]any
}

func readOpenAPI(t *testing.T) (text string, doc openAPI, plain any) {
	t.Helper()
	b, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	return string(b), doc, plain
}

// TestOpenAPIHasEveryRoute holds the document against what is routed.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	_, doc, _ := readOpenAPI(t)
	var written []string
	for path, operations := range doc.Paths {
		for method, o := range operations {
			written = append(written, strings.ToUpper(method)+" "+path)
			if o.Summary == "" || len(o.Responses) < 2 {
				t.Errorf("%s %s: no summary, or no word of failures", method, path)
			}
		}
	}
	var routed []string
	for _, p := range routesOf(newGateway(t, 1, nil).Source, nil).patterns {
		if p != "/" {
			routed = append(routed, p)
		}
	}
	slices.Sort(written)
	slices.Sort(routed)
	if !slices.Equal(written, routed) {
		t.Errorf("docs/openapi.yaml has\n%q\nand what is routed is\n%q", written, routed)
	}
}

// TestOpenAPIRefersToWhatIsThere follows all references.
func TestOpenAPIRefersToWhatIsThere(t *testing.T) {
	_, _, plain := readOpenAPI(t)
	refs := 0
	var follow func(v any)
	follow = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				follow(e)
			}
		case map[string]any:
			for k, e := range v {
				if text, ok := e.(string); k == "$ref" && ok {
					refs++
					wantReference(t, plain, text)
				}
				follow(e)
			}
		}
	}
	follow(plain)
	if refs < 20 {
		t.Errorf("only %d references: the test does not see them", refs)
	}
}

func wantReference(t *testing.T, at any, ref string) {
	t.Helper()
	for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := at.(map[string]any)
		if at = m[step]; at == nil {
			t.Errorf("%s refers to nothing", ref)
			return
		}
	}
}

// TestOpenAPIDescribesTheTypes writes the schemas from the types of the
// answers, and wants the document to have just these.
func TestOpenAPIDescribesTheTypes(t *testing.T) {
	text, _, _ := readOpenAPI(t)
	const mark = "\n  schemas:\n"
	at := strings.LastIndex(text, mark)
	if at < 0 {
		t.Fatal("docs/openapi.yaml has no schemas")
	}
	s := &schemas{comments: fieldComments(t, ".", "../trace"), done: map[string]string{}}
	for _, v := range []any{Status{}, Kill{}, Killed{}, Connections{}, Counters{}, Rules{}, RuleChange{}, Reloaded{}, Ends{}, SYNRecv{}, trace.Event{}, failure{}} {
		s.of(reflect.TypeOf(v))
	}
	names := make([]string, 0, len(s.done))
	for name := range s.done {
		names = append(names, name)
	}
	slices.Sort(names)
	want := text[:at] + mark
	for _, name := range names {
		want += s.done[name]
	}
	if *rewriteOpenAPI {
		if err := os.WriteFile(openAPIFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Error("the schemas of docs/openapi.yaml are not those of the types; go test ./control -run OpenAPI -rewrite-openapi writes them anew")
	}
}

// schemas writes types as OpenAPI does.
type schemas struct {
	comments map[string]string // by Type.Field
	done     map[string]string // by the type's name
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// of returns what stands for a type, in YAML's flow style.
func (s *schemas) of(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "type: string, format: date-time"
	case t.Implements(textMarshaler):
		return "type: string"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "type: boolean"
	case reflect.String:
		return "type: string"
	case reflect.Float64:
		return "type: number"
	case reflect.Slice, reflect.Array:
		return "type: array, items: {" + s.of(t.Elem()) + "}"
	case reflect.Map:
		return "type: object, additionalProperties: {" + s.of(t.Elem()) + "}"
	case reflect.Struct:
		s.write(t)
		return fmt.Sprintf("$ref: %q", "#/components/schemas/"+t.Name())
	}
	return "type: integer"
}

func (s *schemas) write(t reflect.Type) {
	if s.done[t.Name()] != "" {
		return
	}
	s.done[t.Name()] = " " // a type may refer to itself
	s.done[t.Name()] = "    " + t.Name() + ":\n      type: object\n      properties:\n" + s.properties(t)
}

func (s *schemas) properties(t reflect.Type) (out string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			out += s.properties(f.Type)
		case name == "-" || !f.IsExported():
		default:
			description := ""
			if c := s.comments[t.Name()+"."+f.Name]; c != "" {
				description = fmt.Sprintf(", description: %q", c)
			}
			schema := s.of(f.Type)
			if strings.HasPrefix(schema, "$ref") && description != "" {
				schema = "allOf: [{" + schema + "}]" // beside a $ref nothing counts
			}
			out += "        " + name + ": {" + schema + description + "}\n"
		}
	}
	return out
}

// fieldComments reads what the source says of the fields of its types.
func fieldComments(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if st, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range st.Fields.List {
						for _, id := range f.Names {
							out[spec.Name.Name+"."+id.Name] = strings.Join(strings.Fields(f.Comment.Text()), " ")
						}
					}
				}
				return true
			})
		}
	}
	return out
}

// TestOpenAPIKnowsTheParameters asks with each parameter set to something odd:
// what the server refuses must be in the document, and what is there be known.
func TestOpenAPIKnowsTheParameters(t *testing.T) {
	_, doc, _ := readOpenAPI(t)
	mux := routesOf(newGateway(t, 1, nil).Source, nil)
	for _, v := range []struct{ path, parameter string }{
		{"/v1/connections", "limit"}, {"/v1/connections", "filter"}, {"/v1/connections", "all"}, {"/v1/ends", "after"}, {"/v1/ends", "filter"},
		{"/v1/events", "filter"}, {"/v1/events", "snap"}, {"/v1/capture", "filter"}, {"/v1/capture", "snap"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", v.path+"?"+v.parameter+"=%28odd", nil))
		if w.Code != 400 {
			t.Errorf("GET %s with an odd %s: status %d, want 400", v.path, v.parameter, w.Code)
		}
		if !slices.ContainsFunc(doc.Paths[v.path]["get"].Parameters, func(p map[string]any) bool {
			ref, _ := p["$ref"].(string)
			if ref != "" {
				p, _ = doc.Components.Parameters[filepath.Base(ref)].(map[string]any)
			}
			return p["name"] == v.parameter
		}) {
			t.Errorf("docs/openapi.yaml does not have parameter %s of %s", v.parameter, v.path)
		}
	}
}
