package splice

import (
	"reflect"
	"testing"
)

// TestAddForgetsNoCounter fills every field by reflection.
func TestAddForgetsNoCounter(t *testing.T) {
	var one, sum Counters
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Uint64:
			v.SetUint(3)
		default:
			v.SetInt(3)
		}
	}
	fill(reflect.ValueOf(&one).Elem())
	sum.Add(&one)
	if sum != one {
		t.Errorf("the sum of one is %+v", sum)
	}
}
