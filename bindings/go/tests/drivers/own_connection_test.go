package drivers

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// work is the other process with a worker: it prints what it does.
func work(path string) error {
	w := honker.NewWorker(path, honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "own"}}})
	return w.Run(context.Background(), func(_ context.Context, job *honker.Job) error {
		fmt.Println(string(job.Payload))
		return nil
	})
}

// DBTX is the interface that sqlc generates.
type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

type Email struct {
	To string `json:"to"`
}

// placeOrder stands in the README.
func placeOrder(ctx context.Context, db *sql.DB, name string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (name) VALUES (?)", name); err != nil {
		return err
	}
	if _, err := honker.EnqueueSQL(ctx, tx, "emails", Email{To: name}, honker.EnqueueOptions{MaxAttempts: honker.Int64(10)}); err != nil {
		return err
	}
	return tx.Commit()
}

// fulfil stands in the README.
func fulfil(ctx context.Context, db *sql.DB, job *honker.Job, email Email) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET done = 1 WHERE name = ?", email.To); err != nil {
		return err
	}
	if held, err := job.AckSQL(ctx, tx); err != nil || !held {
		return err // not held: somebody else has the job by now
	}
	return tx.Commit()
}

var errRollback = errors.New("roll back")

// transactions run f in a transaction, with what it is to execute statements with, and roll back if it returns an error.
func transactions(t *testing.T, path string) map[string]func(f func(conn honker.SQLExecer) error) error {
	t.Helper()
	all := map[string]func(f func(conn honker.SQLExecer) error) error{}
	for driver, parameters := range map[string]string{"sqlite3": "_busy_timeout=20000", "sqlite": "_pragma=busy_timeout(20000)"} {
		db, err := sql.Open(driver, "file:"+path+"?_txlock=immediate&"+parameters)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		inTx := func(f func(tx *sql.Tx) error) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := f(tx); err != nil {
				return err
			}
			return tx.Commit()
		}
		all[driver+" Tx"] = func(f func(honker.SQLExecer) error) error {
			return inTx(func(tx *sql.Tx) error { return f(tx) })
		}
		all[driver+" sqlc"] = func(f func(honker.SQLExecer) error) error {
			return inTx(func(tx *sql.Tx) error {
				var queries DBTX = tx
				return f(queries)
			})
		}
		all[driver+" Conn"] = func(f func(honker.SQLExecer) error) error {
			ctx := context.Background()
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
				return err
			}
			if err := f(conn); err != nil {
				_, err2 := conn.ExecContext(ctx, "ROLLBACK")
				return errors.Join(err, err2)
			}
			_, err = conn.ExecContext(ctx, "COMMIT")
			return err
		}
	}
	orm, err := gorm.Open(sqlite.Open("file:"+path+"?_busy_timeout=20000"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if pool, err := orm.DB(); err == nil {
		t.Cleanup(func() { pool.Close() })
	}
	all["gorm"] = func(f func(honker.SQLExecer) error) error {
		return orm.Transaction(func(tx *gorm.DB) error { return f(tx.Statement.ConnPool) })
	}
	return all
}

// TestOwnConnection enqueues in transactions of other drivers, while this process has the file open with honker as well and
// another one works on it.
func TestOwnConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("one copy of SQLite at a time: see README.md")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := honker.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec1(t, "sqlite3", "file:"+path, "CREATE TABLE orders (name TEXT, done INTEGER)")

	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), "HONKER_TEST_WORKER="+path)
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := worker.Wait(); err != nil {
			t.Error(err)
		}
	}()
	done := make(chan string, 100)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			done <- lines.Text()
		}
	}()

	ctx := context.Background()
	var committed int64
	for name, transaction := range transactions(t, path) {
		t.Run(name, func(t *testing.T) {
			order := func(payload string, options honker.EnqueueOptions, failure error) (id int64, err error) {
				err = transaction(func(conn honker.SQLExecer) error {
					if _, err := conn.ExecContext(ctx, "INSERT INTO orders (name) VALUES (?)", payload); err != nil {
						return err
					}
					id, err = honker.EnqueueSQL(ctx, conn, "own", payload, options)
					return errors.Join(err, failure)
				})
				return id, err
			}
			if _, err := order("rolled back", honker.EnqueueOptions{}, errRollback); !errors.Is(err, errRollback) {
				t.Fatal(err)
			}
			before := time.Now().Unix()
			id, err := order("later", honker.EnqueueOptions{Delay: honker.Int64(1000), Expires: honker.Int64(2000), MaxAttempts: honker.Int64(7), Priority: -3}, nil)
			if err != nil {
				t.Fatal(err)
			}
			row, err := db.Queue("own", honker.QueueOptions{}).GetJob(id)
			if err != nil || row == nil {
				t.Fatal(row, err)
			}
			acks(t, db, transaction)
			if now := row.CreatedAt; row.Payload != `"later"` || row.MaxAttempts != 7 || row.Priority != -3 || row.RunAt != now+1000 ||
				*row.ExpiresAt != now+2000 || now < before || now > time.Now().Unix() {
				t.Errorf("%+v", row)
			}
			if _, err := order(name, honker.EnqueueOptions{}, nil); err != nil {
				t.Fatal(err)
			}
			committed += 2
			select {
			case payload := <-done:
				if payload != `"`+name+`"` {
					t.Errorf("the worker did %s", payload)
				}
			case <-time.After(60 * time.Second):
				t.Fatal("the worker did nothing")
			}
		})
	}
	foreign, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if _, err := honker.NewTypedQueue[string](db, "own", honker.QueueOptions{}).EnqueueSQL(ctx, foreign, "by itself", honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	if payload := <-done; payload != `"by itself"` {
		t.Error(payload)
	}
	if err := placeOrder(ctx, foreign, "alice"); err != nil {
		t.Fatal(err)
	}
	committed++
	emails := honker.Typed(func(ctx context.Context, job *honker.Job, email Email) error {
		if job.MaxAttempts != 10 {
			t.Error(job)
		}
		return fulfil(ctx, foreign, job, email)
	})
	if ran, err := db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "emails", Handler: emails}}}).RunDue(ctx); ran != 1 || err != nil {
		t.Error(ran, err)
	}
	var orders, fulfilled, left int64
	if err := db.QueryRow("SELECT count(*), sum(done), (SELECT count(*) FROM _honker_live WHERE queue = 'emails') FROM orders").Scan(&orders, &fulfilled, &left); err != nil ||
		orders != committed || fulfilled != 1 || left != 0 {
		t.Errorf("%d orders of %d, %d done, %d jobs: %v", orders, committed, fulfilled, left, err)
	}
	empty, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "empty.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if _, err := honker.EnqueueSQL(ctx, empty, "own", 1, honker.EnqueueOptions{}); err == nil || !strings.Contains(err.Error(), "open it once with honker.Open") {
		t.Error("there are no tables:", err)
	}
}

// acks acks a job in a transaction that is rolled back, and in one that is committed.
func acks(t *testing.T, db *honker.Database, transaction func(f func(conn honker.SQLExecer) error) error) {
	t.Helper()
	q := db.Queue("acks", honker.QueueOptions{})
	id, err := q.Enqueue(1, honker.EnqueueOptions{Metadata: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	job, err := q.ClaimOne("w")
	if err != nil || job == nil || job.ID != id {
		t.Fatal(job, err)
	}
	for _, failure := range []error{errRollback, nil, nil} {
		row, err := q.GetJob(id)
		if err != nil {
			t.Fatal(err)
		}
		err = transaction(func(conn honker.SQLExecer) error {
			held, err := job.AckSQL(context.Background(), conn)
			if held != (row != nil) {
				t.Errorf("held: %v, the job is %v", held, row)
			}
			return errors.Join(err, failure)
		})
		if !errors.Is(err, failure) {
			t.Fatal(err)
		}
	}
	var left int64
	if err := db.QueryRow("SELECT (SELECT count(*) FROM _honker_live WHERE id = ?1) + (SELECT count(*) FROM _honker_job_options)", id).Scan(&left); err != nil || left != 0 {
		t.Error(left, err)
	}
}

// TestSchemaSQL makes the tables with drivers, in files and in memory. Open finds nothing to do.
func TestSchemaSQL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "expected.db")
	expected, err := honker.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer expected.Close()
	schema := func(db *honker.Database) string {
		rows, err := db.Query("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
		version, err2 := db.Query("SELECT * FROM _honker_schema")
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return fmt.Sprint(rows, version)
	}
	for _, driver := range []string{"sqlite3", "sqlite"} {
		path := filepath.Join(t.TempDir(), "app.db")
		for _, source := range []string{"file:" + path, "file::memory:?cache=shared"} {
			conn, err := sql.Open(driver, source)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time there is nothing to do
				if _, err := conn.Exec(honker.SchemaSQL); err != nil {
					t.Fatal(driver, source, err)
				}
			}
			if id, err := honker.EnqueueSQL(context.Background(), conn, "q", 1, honker.EnqueueOptions{}); id != 1 || err != nil {
				t.Error(driver, source, id, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		version := func() (version int64) {
			conn, err := sql.Open(driver, "file:"+path)
			if err == nil {
				defer conn.Close()
				err = conn.QueryRow("PRAGMA schema_version").Scan(&version)
			}
			if err != nil {
				t.Fatal(err)
			}
			return version
		}
		before := version()
		db, err := honker.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := schema(db); got != schema(expected) {
			t.Errorf("%s: %s", driver, got)
		}
		if job, err := db.Queue("q", honker.QueueOptions{}).ClaimOne("w"); err != nil || job == nil {
			t.Error(job, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if after := version(); after != before {
			t.Errorf("%s: Open has changed the schema", driver)
		}
	}
}
