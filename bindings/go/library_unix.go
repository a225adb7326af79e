//go:build unix

package honker

import (
	"runtime"

	"github.com/ebitengine/purego"
)

var libraryName = map[bool]string{true: "libhonker.dylib", false: "libhonker.so"}[runtime.GOOS == "darwin"]

func dlopen(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func dlsym(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }
