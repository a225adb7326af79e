package honker

import (
	"database/sql"
	"database/sql/driver"
	"reflect"
	"time"
)

// toValues makes parameters of Go's values.
func toValues(args []any) ([]value, error) {
	values := make([]value, len(args))
	for i, arg := range args {
		converted, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, invalid(err, "parameter %d: %v", i+1, err)
		}
		switch v := converted.(type) {
		case int64:
			values[i] = value{valueType: typeInteger, integer: v}
		case bool:
			values[i] = value{valueType: typeInteger}
			if v {
				values[i].integer = 1
			}
		case float64:
			values[i] = value{valueType: typeReal, real: v}
		case string:
			values[i] = value{valueType: typeText, bytes: view(v)}
		case time.Time:
			values[i] = value{valueType: typeText, bytes: view(v.Format(timeLayout))}
		case []byte:
			if v != nil { // that is NULL, as nil is
				values[i] = value{valueType: typeBlob, bytes: viewOf(v)}
			}
		}
	}
	return values, nil
}

// timeLayout is the text of a time, which SQLite's date functions understand.
const timeLayout = "2006-01-02 15:04:05.999999999-07:00"

// Row is one row of a query.
type Row struct {
	// Columns has the names of the columns.
	Columns []string
	// Values has the values: nil, int64, float64, string or []byte.
	Values []any

	err error
}

// Scan copies the values to where dest points: *int64, *int, *float64, *bool, *string, *[]byte, *any and their like,
// *time.Time for the text of one as parameters are stored, pointers to such pointers, which NULL makes nil, or a sql.Scanner. What does not fit, NULL and large numbers for
// instance, is ErrInvalid; no row is sql.ErrNoRows.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if len(dest) != len(r.Values) {
		return invalid(nil, "the row has %d columns, Scan got %d places", len(r.Values), len(dest))
	}
	for i, to := range dest {
		if scanner, is := to.(sql.Scanner); is {
			if err := scanner.Scan(r.Values[i]); err != nil {
				return invalid(err, "column %s: %v", r.Columns[i], err)
			}
			continue
		}
		place := reflect.ValueOf(to)
		if place.Kind() != reflect.Pointer || place.IsNil() || !assign(place.Elem(), r.Values[i]) {
			return invalid(nil, "column %s, %#v, cannot be put into %T", r.Columns[i], r.Values[i], to)
		}
	}
	return nil
}

// assign puts a value where it fits exactly.
func assign(place reflect.Value, v any) bool {
	switch kind := place.Kind(); {
	case kind == reflect.Interface && place.NumMethod() == 0:
		if v == nil {
			place.SetZero()
		} else {
			place.Set(reflect.ValueOf(v))
		}
		return true
	case kind == reflect.Pointer:
		if v == nil {
			place.SetZero()
			return true
		}
		inner := reflect.New(place.Type().Elem())
		if !assign(inner.Elem(), v) {
			return false
		}
		place.Set(inner)
		return true
	}
	isBytes := place.Kind() == reflect.Slice && place.Type().Elem().Kind() == reflect.Uint8
	switch v := v.(type) {
	case nil:
		if isBytes {
			place.SetZero()
		}
		return isBytes
	case int64:
		switch {
		case place.CanInt() && !place.OverflowInt(v):
			place.SetInt(v)
		case place.CanUint() && v >= 0 && !place.OverflowUint(uint64(v)):
			place.SetUint(uint64(v))
		case place.CanFloat():
			place.SetFloat(float64(v))
		case place.Kind() == reflect.Bool && (v == 0 || v == 1):
			place.SetBool(v == 1)
		default:
			return false
		}
	case float64:
		if !place.CanFloat() {
			return false
		}
		place.SetFloat(v)
	case string:
		switch {
		case place.Kind() == reflect.String:
			place.SetString(v)
		case isBytes:
			place.SetBytes([]byte(v))
		case place.Type() == reflect.TypeFor[time.Time]():
			at, err := time.Parse(timeLayout, v)
			if err != nil {
				return false
			}
			place.Set(reflect.ValueOf(at))
		default:
			return false
		}
	case []byte:
		if !isBytes {
			return false
		}
		place.SetBytes(v)
	}
	return true
}

func firstRow(rows []Row, err error) *Row {
	if err == nil && len(rows) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return &Row{err: err}
	}
	return &rows[0]
}

// takeRows copies rows of the library's, which it frees.
func (db *Database) takeRows(handle uintptr) ([]Row, error) {
	native := db.native()
	defer native.rowsFree(handle)
	rowCount, columnCount, _, err := native.rowsSize(handle)
	if err != nil {
		return nil, err
	}
	columns := make([]string, columnCount)
	for i := range columns {
		name, _, err := native.rowsColumn(handle, i)
		if err != nil {
			return nil, err
		}
		columns[i] = name.text()
	}
	rows := make([]Row, rowCount)
	cell := new(value)
	for i := range rows {
		rows[i] = Row{Columns: columns, Values: make([]any, columnCount)}
		for j := range columns {
			if _, err := native.rowsGet(handle, i, j, cell); err != nil {
				return nil, err
			}
			switch cell.valueType {
			case typeInteger:
				rows[i].Values[j] = cell.integer
			case typeReal:
				rows[i].Values[j] = cell.real
			case typeText:
				rows[i].Values[j] = cell.bytes.text()
			case typeBlob:
				rows[i].Values[j] = cell.bytes.bytes()
			}
		}
	}
	return rows, nil
}
