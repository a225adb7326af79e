package honker

import "unsafe"

// emptyText is where an empty text begins: no address would mean none.
var emptyText byte

// view is a text for the library. Whoever passes it on keeps it alive; bytesView{} is none.
func view(s string) bytesView {
	if s == "" {
		return bytesView{&emptyText, 0}
	}
	return bytesView{unsafe.StringData(s), uintptr(len(s))}
}

// viewOf is view of bytes.
func viewOf(b []byte) bytesView {
	if len(b) == 0 {
		return bytesView{&emptyText, 0}
	}
	return bytesView{unsafe.SliceData(b), uintptr(len(b))}
}

// bytes is a copy of what a view of the library's shows.
func (v bytesView) bytes() []byte { return append([]byte{}, unsafe.Slice(v.data, v.len)...) }

// text is the same as a string.
func (v bytesView) text() string { return string(unsafe.Slice(v.data, v.len)) }

// slice is the address of a slice for an argument list; an empty one has none.
func slice[T any](s []T) unsafe.Pointer {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Pointer(unsafe.SliceData(s))
}
