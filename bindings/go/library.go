package honker

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// abiVersion is the version of libhonker's interface that this package is written against, major << 16 | minor.
const abiVersion = 1 << 16

// library is a libhonker that has been loaded. It stays loaded: there is no safe moment to unload one.
type library struct {
	path      string
	addresses [functionCount]uintptr
}

// LibraryError says that libhonker could not be loaded, and why, for everything that was tried.
type LibraryError struct {
	// Tried has each file that was tried, followed by what was wrong with it.
	Tried []string
}

func (e *LibraryError) Error() string {
	return "honker: libhonker could not be loaded; build it with `make library` in honker's repository, and install it " +
		"with `make install`, or name the file in HONKER_LIBRARY or as the last argument of honker.Open. Tried:\n  " +
		strings.Join(e.Tried, "\n  ")
}

var loaded = struct {
	sync.Mutex
	byPath map[string]*library
}{byPath: map[string]*library{}}

// loadLibrary loads the library at path. If that is empty it is the one that HONKER_LIBRARY names; if that is not set, the one next to
// the executable or else the system's.
func loadLibrary(path string) (*library, error) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return nil, newError(StatusUnsupported, "honker needs a 64-bit machine, not %s", runtime.GOARCH)
	}
	if strings.ContainsRune(path, 0) {
		return nil, invalid(nil, "the path of the library has a NUL in it: %q", path)
	}
	var candidates []string
	if path == "" {
		path = os.Getenv("HONKER_LIBRARY")
	}
	if path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, &LibraryError{Tried: []string{path + ": " + err.Error()}}
		}
		candidates = []string{absolute}
	} else {
		if executable, err := os.Executable(); err == nil {
			candidates = append(candidates, filepath.Join(filepath.Dir(executable), libraryName))
		}
		candidates = append(candidates, libraryName) // the system knows where
	}
	loaded.Lock()
	defer loaded.Unlock()
	failure := &LibraryError{}
	for _, candidate := range candidates {
		if lib := loaded.byPath[candidate]; lib != nil {
			return lib, nil
		}
		lib, err := openLibrary(candidate)
		if err == nil {
			loaded.byPath[candidate] = lib
			return lib, nil
		}
		failure.Tried = append(failure.Tried, candidate+": "+err.Error())
	}
	return nil, failure
}

func openLibrary(path string) (*library, error) {
	handle, err := dlopen(path)
	if err != nil {
		return nil, err
	}
	lib := &library{path: path}
	for f, name := range functionNames {
		if lib.addresses[f], err = dlsym(handle, name); err != nil {
			return nil, fmt.Errorf("is no libhonker that fits: it has no %s", name)
		}
		if f == int(fnABIVersion) {
			if err := checkABI(uint32(lib.call(fnABIVersion)), abiVersion); err != nil {
				return nil, err
			}
		}
	}
	return lib, nil
}

func checkABI(version, needed uint32) error {
	if version>>16 != needed>>16 || version < needed {
		return fmt.Errorf("has interface version %d.%d, this package needs %d.%d or a newer minor one",
			version>>16, version&0xffff, needed>>16, needed&0xffff)
	}
	return nil
}

// call calls a function of the library. Pointers among the arguments have to be converted in the argument list, which keeps
// what they point to alive and in its place until the call returns.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) Status {
	r, _, _ := purego.SyscallN(l.addresses[f], args...)
	return Status(int32(r))
}

// cells are where calls leave their errors and texts. They are on the heap, for the stack moves when it grows, and not new ones
// for each call.
var cells = sync.Pool{New: func() any { return new(uintptr) }}

// try calls a function whose last parameter, not among args, takes the error.
//
//go:uintptrescapes
func (l *library) try(f function, args ...uintptr) (Status, error) {
	cell := cells.Get().(*uintptr)
	defer cells.Put(cell)
	*cell = 0
	var all [maxArguments]uintptr
	n := copy(all[:], args)
	all[n] = uintptr(unsafe.Pointer(cell))
	r, _, _ := purego.SyscallN(l.addresses[f], all[:n+1]...)
	status := Status(int32(r))
	if status >= 0 {
		return status, nil
	}
	return status, l.takeError(*cell, status)
}

// takeError makes an *Error of the library's, and frees that.
func (l *library) takeError(handle uintptr, status Status) *Error {
	if handle == 0 {
		return &Error{Status: status}
	}
	defer l.call(fnErrorFree, handle)
	length := new(uintptr)
	text, _, _ := purego.SyscallN(l.addresses[fnErrorMessage], handle, uintptr(unsafe.Pointer(length)))
	return &Error{
		Status:             status,
		Message:            string(foreign(text, *length)),
		SQLiteCode:         int(l.call(fnErrorSqliteCode, handle)),
		SQLiteExtendedCode: int(l.call(fnErrorSqliteExtendedCode, handle)),
	}
}

// staticText is the text of a function that returns a static one.
func (l *library) staticText(f function) string {
	text, _, _ := purego.SyscallN(l.addresses[f])
	n := uintptr(0)
	for *(*byte)(unsafe.Add(address(text), n)) != 0 {
		n++
	}
	return string(foreign(text, n))
}

// takeText is the content of a text of the library's, which it frees.
func (l *library) takeText(handle uintptr) (string, error) {
	defer l.call(fnTextFree, handle)
	view := new(bytesView)
	if _, err := l.try(fnTextGet, handle, uintptr(unsafe.Pointer(&view.data)), uintptr(unsafe.Pointer(&view.len))); err != nil {
		return "", err
	}
	return view.text(), nil
}

// address is what a number that the library returned points to.
func address(number uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&number)) }

// foreign is memory of the library's, to be copied before it is freed.
func foreign(start, length uintptr) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(address(start)), length)
}
