package honker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// bundled is the libhonker that came with the module, in a module of its own for each platform. It is empty where there is none
// for the platform, and with the build tag honker_system.
var bundled string

// bundledName is what errors call that library.
const bundledName = "the module's own libhonker"

var errNotBundled = errors.New("there is none for " + runtime.GOOS + "/" + runtime.GOARCH + " in this build")

// openBundled loads the bundled library: from the user's cache directory or, where that cannot be written or libraries may not
// be loaded from it, from a directory of this process alone.
func openBundled() (*library, error) {
	if bundled == "" {
		return nil, errNotBundled
	}
	var lib *library
	path, err := extractToCache(bundled)
	if err == nil {
		if lib, err = openLibrary(path); err == nil {
			return lib, nil
		}
	}
	lib, temporary := openTemporary(bundled)
	if temporary == nil {
		return lib, nil
	}
	return nil, errors.Join(err, temporary)
}

// extractToCache is the file with this content below the user's cache directory, which is named by it, so that versions do not
// meet. It is moved there when it is whole: any number of processes may do this at once.
func extractToCache(content string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(content))
	dir := filepath.Join(cache, "honker", hex.EncodeToString(sum[:]))
	file := filepath.Join(dir, libraryName)
	if is, err := os.ReadFile(file); err == nil && bytes.Equal(is, []byte(content)) {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	part, err := os.CreateTemp(dir, libraryName+".*.part")
	if err != nil {
		return "", err
	}
	defer os.Remove(part.Name()) // it is not there any more, if all went well
	_, err = part.WriteString(content)
	if err = errors.Join(err, part.Close()); err != nil {
		return "", err
	}
	return file, os.Rename(part.Name(), file)
}

// openTemporary loads the library from a directory that nobody else can write to, and that is gone at once where the system lets
// go of a file that is loaded.
func openTemporary(content string) (*library, error) {
	dir, err := os.MkdirTemp("", "honker-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, libraryName)
	if err := os.WriteFile(file, []byte(content), 0o700); err != nil {
		return nil, err
	}
	return openLibrary(file)
}
