package honker

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// withBundled makes the library of the tests the one that came with the module.
func withBundled(t *testing.T) {
	content, err := os.ReadFile(os.Getenv("HONKER_LIBRARY"))
	if err != nil {
		t.Fatal(err)
	}
	bundled = string(content)
	t.Cleanup(func() { bundled = "" })
}

func TestTheBundledLibraryIsExtractedOnceToTheUsersCache(t *testing.T) {
	withBundled(t)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	first, err := extractToCache(bundled)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, cache) {
		t.Fatalf("extracted to %s", first)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := openBundled()
	if err != nil || lib.path != first {
		t.Fatalf("loaded %v, %v", lib, err)
	}
	after, err := os.Stat(first)
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Fatalf("written again: %v", err)
	}
	// A file that is not what it should be is replaced, and its place is left with nothing else in it.
	// It is not written into: this process has it mapped.
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := errors.Join(os.WriteFile(damaged, []byte("damaged"), 0o600), os.Rename(damaged, first)); err != nil {
		t.Fatal(err)
	}
	if lib, err = openBundled(); err != nil || lib.path != first {
		t.Fatalf("loaded %v, %v", lib, err)
	}
	files, err := os.ReadDir(filepath.Dir(first))
	if err != nil || len(files) != 1 {
		t.Fatalf("left %v, %v", files, err)
	}
}

func TestTheBundledLibraryIsLoadedWhereTheCacheCannotBeWritten(t *testing.T) {
	withBundled(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{file, ""} {
		t.Setenv("XDG_CACHE_HOME", cache)
		t.Setenv("HOME", cache)
		if _, err := openBundled(); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(temporary); err != nil || runtime.GOOS != "windows" && len(left) != 0 {
			t.Fatalf("left %v, %v", left, err)
		}
	}
}

func TestWithoutABundledLibraryTheErrorSaysSo(t *testing.T) {
	if _, err := openBundled(); !errors.Is(err, errNotBundled) {
		t.Fatal(err)
	}
}
