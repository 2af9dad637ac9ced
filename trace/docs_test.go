package trace

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// Every field of an event is explained in docs/trace.md.
func TestFieldsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/trace.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	seen := map[reflect.Type]bool{}
	var look func(reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "tcpmitm/") || seen[of] {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("field %s of %s is not explained", name, of.Name())
			}
			look(f.Type)
		}
	}
	look(reflect.TypeFor[Event]())
	if len(seen) < 8 {
		t.Errorf("only %d types were looked at", len(seen))
	}
	for _, h := range howNames {
		if !strings.Contains(text, "`"+h+"`") {
			t.Errorf("way %q of closing is not explained", h)
		}
	}
}
