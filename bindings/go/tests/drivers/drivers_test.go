// Package drivers tests that a program may have the file open with another SQLite as well: that of a database/sql
// driver, in C or in Go. It is a module of its own so that users of honker do not get these drivers.
package drivers

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	honker "github.com/russellromney/honker-go"
	_ "modernc.org/sqlite"
)

const (
	writers = 3
	each    = 150
)

// TestMain is also the other process, which enqueues or works beside this one.
func TestMain(m *testing.M) {
	if path := os.Getenv("HONKER_TEST_WORKER"); path != "" {
		if err := work(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv("HONKER_TEST_OTHER_PROCESS"); path != "" {
		if err := enqueue(path, "other process"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func enqueue(path, who string) error {
	db, err := honker.OpenWithOptions(path, "", honker.OpenOptions{BusyTimeout: 20 * time.Second}) // as long as the others wait
	if err != nil {
		return err
	}
	defer db.Close()
	for i := range each {
		if _, err := db.Queue("q", honker.QueueOptions{}).Enqueue(fmt.Sprint(who, " ", i), honker.EnqueueOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func TestMattn(t *testing.T) { beside(t, "sqlite3", "_busy_timeout=20000&_txlock=immediate") }

func TestModernc(t *testing.T) { beside(t, "sqlite", "_pragma=busy_timeout(20000)&_txlock=immediate") }

// beside has goroutines write through honker and through the driver, open and close connections, and wait, while
// another process writes; then nothing may be missing.
func beside(t *testing.T, driver, parameters string) {
	if runtime.GOOS != "linux" {
		t.Skip("one copy of SQLite at a time: see README.md")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := honker.OpenWithOptions(path, "", honker.OpenOptions{BusyTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if db.Warning() != nil {
		t.Fatal(db.Warning())
	}
	source := "file:" + path + "?" + parameters
	exec1(t, driver, source, "CREATE TABLE orders (who TEXT, i INTEGER)")

	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "HONKER_TEST_OTHER_PROCESS="+path)
	var otherSays strings.Builder
	other.Stdout, other.Stderr = &otherSays, &otherSays
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Add(2)
		go func() {
			defer writing.Done()
			if err := enqueue(path, fmt.Sprint("honker ", w)); err != nil {
				t.Error(err)
			}
		}()
		go func() {
			defer writing.Done()
			for i := range each {
				if i%10 == 0 { // connections come and go, which is what loses locks
					exec1(t, driver, source, fmt.Sprintf("INSERT INTO orders VALUES ('%d', %d)", w, i))
					continue
				}
				tx, err := db.Begin()
				if err != nil {
					t.Error(err)
					return
				}
				_, err = tx.Exec("INSERT INTO orders VALUES (?, ?)", fmt.Sprint(w), i)
				if err == nil {
					err = tx.Commit()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	seen := map[string]int{}
	const jobs = (writers + 1) * each
	for job, err := range db.Queue("q", honker.QueueOptions{}).Jobs(ctx, "worker") {
		if err != nil {
			t.Fatal(err)
		}
		seen[string(job.Payload)]++
		if held, err := job.Ack(); err != nil || !held {
			t.Fatal(held, err)
		}
		if len(seen) == jobs {
			break
		}
	}
	writing.Wait()
	if err := other.Wait(); err != nil {
		t.Fatal(err, otherSays.String())
	}
	for payload, n := range seen {
		if n != 1 {
			t.Error(payload, n)
		}
	}
	if len(seen) != jobs {
		t.Errorf("%d of %d jobs", len(seen), jobs)
	}
	foreign, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	var orders, live int
	var integrity string
	if err := foreign.QueryRow("SELECT (SELECT count(DISTINCT who || '/' || i) FROM orders), (SELECT count(*) FROM _honker_live)").Scan(&orders, &live); err != nil {
		t.Fatal(err)
	}
	if err := foreign.QueryRow("PRAGMA integrity_check").Scan(&integrity); err != nil {
		t.Fatal(err)
	}
	if orders != writers*each || live != 0 || integrity != "ok" {
		t.Error(orders, live, integrity)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func exec1(t *testing.T, driver, source, statement string) {
	foreign, err := sql.Open(driver, source)
	if err != nil {
		t.Error(err)
		return
	}
	defer foreign.Close()
	if _, err := foreign.Exec(statement); err != nil {
		t.Error(err)
	}
}
