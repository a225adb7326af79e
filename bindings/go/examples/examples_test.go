// Package examples tests that each example prints what it says.
package examples

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
)

func TestExamples(t *testing.T) {
	library := os.Getenv("HONKER_LIBRARY")
	if library == "" {
		t.Fatal("HONKER_LIBRARY is not set: tests/run does that")
	}
	if signal.Ignored(os.Interrupt) { // as in the background of a shell; the programs would ignore it as well
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	programs := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", programs+string(filepath.Separator), "./...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sources, err := filepath.Glob("*/main.go")
	if err != nil || len(sources) < 10 {
		t.Fatal(sources, err)
	}
	for _, source := range sources {
		name := filepath.Dir(source)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			_, comment, _ := strings.Cut(string(text), "\n// Output:\n")
			want := strings.ReplaceAll(strings.TrimPrefix(comment, "// "), "\n// ", "\n")
			dir := t.TempDir()
			if err := os.Symlink(library, filepath.Join(dir, "libhonker.so")); err != nil {
				t.Fatal(err)
			}
			program := exec.Command(filepath.Join(programs, name))
			program.Dir = dir
			var logged strings.Builder // failures, with the time
			program.Stderr = &logged
			got, err := program.Output()
			if err != nil || string(got) != want {
				t.Errorf("%v; it printed\n%swhere\n%swas expected; it logged\n%s", err, got, want, logged.String())
			}
		})
	}
}
