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
	return "honker: libhonker could not be loaded. The published module brings it; otherwise build it with `make library` in " +
		"honker's repository, and install it with `make install`, or name the file in HONKER_LIBRARY or as the last argument of " +
		"honker.Open. Tried:\n  " +
		strings.Join(e.Tried, "\n  ")
}

var loaded = struct {
	sync.Mutex
	byName map[string]*library
}{byName: map[string]*library{}}

// candidate is a library that may be loaded: what errors and the table of loaded ones call it, and how it is opened.
type candidate struct {
	name string
	open func() (*library, error)
}

func candidateAt(path string) candidate {
	return candidate{path, func() (*library, error) { return openLibrary(path) }}
}

// loadLibrary loads the library at path. If that is empty it is the one that HONKER_LIBRARY names; if that is not set, the one that
// came with the module, the one next to the executable or else the system's.
func loadLibrary(path string) (*library, error) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return nil, newError(StatusUnsupported, "honker needs a 64-bit machine, not %s", runtime.GOARCH)
	}
	if strings.ContainsRune(path, 0) {
		return nil, invalid(nil, "the path of the library has a NUL in it: %q", path)
	}
	var candidates []candidate
	if path == "" {
		path = os.Getenv("HONKER_LIBRARY")
	}
	if path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, &LibraryError{Tried: []string{path + ": " + err.Error()}}
		}
		candidates = []candidate{candidateAt(absolute)}
	} else {
		candidates = append(candidates, candidate{bundledName, openBundled})
		if executable, err := os.Executable(); err == nil {
			candidates = append(candidates, candidateAt(filepath.Join(filepath.Dir(executable), libraryName)))
		}
		candidates = append(candidates, candidateAt(libraryName)) // the system knows where
	}
	loaded.Lock()
	defer loaded.Unlock()
	failure := &LibraryError{}
	for _, candidate := range candidates {
		if lib := loaded.byName[candidate.name]; lib != nil {
			return lib, nil
		}
		lib, err := candidate.open()
		if err == nil {
			loaded.byName[candidate.name] = lib
			return lib, nil
		}
		failure.Tried = append(failure.Tried, candidate.name+": "+err.Error())
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
			if err := checkABI(lib.native().abiVersion(), abiVersion); err != nil {
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

// calls makes the calls of a library. Its methods, one for each function, are in abi.go.
type calls struct {
	lib *library
	db  *Database // whose end explains errors; nil for none
	w   *waiting  // the same
}

func (l *library) native() calls { return calls{lib: l} }

// beforeCall is nil, except in a test of stacks that move just then.
var beforeCall func()

// call calls a function of the library. Pointers among the arguments have to be converted in the argument list, which keeps
// what they point to alive and in its place until the call returns. Only abi.go does that.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) uintptr {
	if beforeCall != nil {
		beforeCall()
	}
	r, _, _ := purego.SyscallN(l.addresses[f], args...)
	return r
}

// errorCells are where failed calls leave their error: on the heap, for a stack moves when it grows, and not a new one for
// each call.
var errorCells = sync.Pool{New: func() any { return new(uintptr) }}

// try calls a function whose last parameter, not among args, takes the error. A call that succeeded may leave a warning there.
//
// That the database, or what waits, has been closed in the meantime is ErrClosed, however the call found out.
//
//go:uintptrescapes
func (c calls) try(f function, args ...uintptr) (Status, error) {
	if beforeCall != nil {
		beforeCall()
	}
	if c.w != nil && c.w.closed.Load() {
		return StatusClosedHandle, c.w.isClosed()
	}
	if slots := c.slots(f, args); slots != nil {
		if err := c.db.acquire(slots); err != nil {
			return err.Status, err
		}
		defer func() { <-slots }()
	}
	cell := errorCells.Get().(*uintptr)
	defer errorCells.Put(cell)
	*cell = 0
	var all [maxArguments]uintptr
	n := copy(all[:], args)
	all[n] = uintptr(unsafe.Pointer(cell)) // it does not move, and is in use until it is put back
	r, _, _ := purego.SyscallN(c.lib.addresses[f], all[:n+1]...)
	status := Status(int32(r))
	var err error
	if status < 0 || *cell != 0 {
		err = c.lib.takeError(*cell, status)
	}
	if c.db != nil {
		if err != nil && c.db.closed.Load() && (status == StatusMisuse || status == StatusInterrupted || status == StatusClosedHandle) {
			err = c.db.isClosed()
		}
		runtime.KeepAlive(c.db)
	}
	if c.w != nil && (status == statusClosed || err != nil && c.w.closed.Load()) {
		err = c.w.isClosed()
	}
	return status, err
}

// takeError makes an *Error of the library's, and frees that.
func (l *library) takeError(handle uintptr, status Status) *Error {
	if handle == 0 {
		return &Error{Status: status}
	}
	native := l.native()
	defer native.errorFree(handle)
	return &Error{
		Status:             native.errorStatus(handle),
		Message:            native.errorMessage(handle).text(),
		SQLiteCode:         int(native.errorSqliteCode(handle)),
		SQLiteExtendedCode: int(native.errorSqliteExtendedCode(handle)),
	}
}

// did is whether a call has done something.
func did(status Status, err error) (bool, error) { return status == statusOK && err == nil, err }

// valueOf is what a call gave.
func valueOf[T any](value T, _ Status, err error) (T, error) { return value, err }

// staticText is the text at an address, which ends with a NUL.
func staticText(start uintptr) string {
	n := uintptr(0)
	for *(*byte)(unsafe.Add(address(start), n)) != 0 {
		n++
	}
	return bytesView{(*byte)(address(start)), n}.text()
}

// takeText is the content of a text of the library's, which it frees.
func (l *library) takeText(handle uintptr) (string, error) {
	defer l.native().textFree(handle)
	data, _, err := l.native().textGet(handle)
	if err != nil {
		return "", err
	}
	return data.text(), nil
}

// textOf is the text of a call that gives one; false if it gave none.
func (l *library) textOf(handle uintptr, status Status, err error) (string, bool, error) {
	if err != nil || status != statusOK {
		return "", false, err
	}
	value, err := l.takeText(handle)
	return value, err == nil, err
}

// address is what a number that the library returned points to.
func address(number uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&number)) }
