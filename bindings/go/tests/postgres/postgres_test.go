// Package postgres tests the package on a Postgres server: its own calls, and jobs that are enqueued and done with connections of other
// drivers. It is a module of its own so that users of honker do not get these drivers. ../run starts the server.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
)

// server is the URL of a server on which honker's schema is installed.
func server(t *testing.T) string {
	t.Helper()
	address := os.Getenv("HONKER_POSTGRES_URL")
	if address == "" {
		t.Skip("SKIPPED: HONKER_POSTGRES_URL is not set: ../run does that")
	}
	return address
}

// open installs the schema, if need be.
func open(t *testing.T) *honker.Database {
	t.Helper()
	db, err := honker.Open(server(t) + "&honker_migrate=on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// start runs a worker until the end of the test; what its handler is given comes out of the channel.
func start(t *testing.T, worker *honker.Worker, f func(ctx context.Context, job *honker.Job) error) <-chan string {
	t.Helper()
	done, ended := make(chan string, 100), make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- worker.Run(ctx, func(ctx context.Context, job *honker.Job) error {
			defer func() { done <- string(job.Payload) }()
			return f(ctx, job)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return done
}

func nothing(context.Context, *honker.Job) error { return nil }

func next[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(60 * time.Second):
		t.Fatal("nothing has come")
	}
	return value
}

func TestEverythingOnAURL(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	status, err := db.Status()
	if err != nil || status.Versions.Postgres == "" || !strings.HasPrefix(status.File, "postgres://") {
		t.Errorf("%+v %v", status, err)
	}

	// It opens the URL itself, and fires a schedule beside its jobs.
	worker := honker.NewWorker(server(t), honker.WorkerOptions{
		Queues:    []honker.WorkerQueue{{Name: "api"}},
		MaxRun:    100 * time.Second,
		Schedules: []honker.ScheduledTask{{Name: "api", Queue: "api", Schedule: "@every 1s", Payload: "scheduled"}},
		NoSignals: true,
	})
	done := start(t, worker, func(ctx context.Context, job *honker.Job) error {
		deadline, _ := ctx.Deadline()
		if limited := string(job.Payload) == `"limited"`; limited != (time.Until(deadline) > 500*time.Second) {
			t.Errorf("%s may run until %v", job.Payload, deadline)
		}
		return nil
	})
	if payload := next(t, done); payload != `"scheduled"` {
		t.Error(payload)
	}
	if removed, err := db.Scheduler().Remove("api"); err != nil || removed != 1 {
		t.Error(removed, err)
	}

	listener, err := db.Listen(ctx, "api")
	if err != nil {
		t.Fatal(err)
	}
	subscription, err := db.Stream("api").Subscribe(ctx, "consumer")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, err := range []error{
		second(tx.Exec("DROP TABLE IF EXISTS api")),
		second(tx.Exec("CREATE TABLE api (id bigint PRIMARY KEY, name text)")),
		second(tx.Exec("INSERT INTO api VALUES (?, ?2), (?, 'a ? in a text')", 1, "alice", 2)),
		second(db.Queue("api", honker.QueueOptions{}).EnqueueTx(tx, "in a transaction", honker.EnqueueOptions{})),
		second(db.Stream("api").PublishTx(tx, map[string]int{"id": 1})),
		second(db.NotifyTx(tx, "api", "hello")),
		tx.Commit(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for payload := next(t, done); payload != `"in a transaction"`; payload = next(t, done) { // a schedule's may come before it
	}
	if event := next(t, subscription); event.Err != nil || string(event.Payload) != `{"id":1}` {
		t.Errorf("%+v", event)
	}
	if notification := next(t, listener); notification.Err != nil || string(notification.Payload) != `"hello"` {
		t.Errorf("%+v", notification)
	}
	var name string
	if _, err := db.Queue("api", honker.QueueOptions{}).Enqueue("limited", honker.EnqueueOptions{MaxRunS: 1000}); err != nil {
		t.Fatal(err)
	}
	for payload := next(t, done); payload != `"limited"`; payload = next(t, done) {
	}
	if err := db.QueryRow("SELECT name FROM api WHERE id = ?", 2).Scan(&name); err != nil || name != "a ? in a text" {
		t.Error(name, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestCloseEndsWaiting closes a database on a server while a worker, and a waker, wait for a job.
func TestCloseEndsWaiting(t *testing.T) {
	db := open(t)
	waker, err := db.Queue("empty", honker.QueueOptions{}).ClaimWaker()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := waker.Next(context.Background(), "w")
		ended <- err
	}()
	worker := db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "closing"}}, NoSignals: true})
	started := make(chan struct{})
	go func() {
		ended <- worker.Run(context.Background(), func(context.Context, *honker.Job) error {
			close(started)
			return nil
		})
	}()
	if _, err := db.Queue("closing", honker.QueueOptions{}).Enqueue(1, honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	next(t, started)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := next(t, ended); !errors.Is(err, honker.ErrClosed) {
			t.Error(err)
		}
	}
}

// TestErrorsOfConnecting has no server to connect to, and servers that say no.
func TestErrorsOfConnecting(t *testing.T) {
	address, err := url.Parse(server(t))
	if err != nil {
		t.Fatal(err)
	}
	parameters := address.Query()
	for name, c := range map[string]struct {
		address string
		want    error
	}{
		"no server":     {"postgres://me:secret@localhost/app?host=" + t.TempDir(), honker.ErrConnection},
		"no database":   {"postgres://app:secret@/none?host=" + parameters.Get("host"), &honker.Error{Status: honker.StatusCannotOpen}},
		"no parameters": {"postgres://me:secret@localhost/app?nonsense=1", honker.ErrInvalid},
	} {
		db, err := honker.Open(c.address)
		if !errors.Is(err, c.want) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestServerThatGoesAway stops the server while a worker waits: that goes on once it is back, and calls meanwhile are ErrConnection.
func TestServerThatGoesAway(t *testing.T) {
	db, folder := open(t), os.Getenv("HONKER_POSTGRES_FOLDER")
	if folder == "" {
		t.Skip("SKIPPED: the server is not one that a test may stop")
	}
	done := start(t, db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "away"}}, NoSignals: true}), nothing)
	q := db.Queue("away", honker.QueueOptions{})
	if _, err := q.Enqueue("before", honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	if payload := next(t, done); payload != `"before"` {
		t.Error(payload)
	}
	for _, command := range []string{"stop", "start"} {
		if out, err := exec.Command(filepath.Join(folder, command)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if command == "stop" {
			if _, err := q.Enqueue("meanwhile", honker.EnqueueOptions{}); !errors.Is(err, honker.ErrConnection) {
				t.Error(err)
			}
		}
	}
	for {
		_, err := q.Enqueue("after", honker.EnqueueOptions{})
		if err == nil {
			break
		}
		if !errors.Is(err, honker.ErrConnection) {
			t.Fatal(err)
		}
	}
	if payload := next(t, done); payload != `"after"` {
		t.Error(payload)
	}
}
