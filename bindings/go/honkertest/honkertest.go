// Package honkertest helps to test what enqueues jobs and what does them: with a database of the test's own, in the test's
// goroutine, and with a clock that the test moves.
package honkertest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
)

// Open opens a database in a folder of its own, which is closed and removed at the end of the test. There may be options.
func Open(t testing.TB, options ...honker.OpenOptions) *honker.Database {
	t.Helper()
	db, err := honker.OpenWithOptions(filepath.Join(t.TempDir(), "test.db"), "", append(options, honker.OpenOptions{})[0])
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

// RunDue runs the jobs of the queues that are due, one after the other, in the test's goroutine, until there is none; how many
// that were. What they enqueue is run as well, if it is due. What a handler returns is no failure of the test: the job is
// settled as a worker does.
func RunDue(t testing.TB, db *honker.Database, handler honker.Handler, queues ...string) int {
	t.Helper()
	options := honker.WorkerOptions{Logger: slog.New(slog.NewTextHandler(output{t}, nil))}
	for _, name := range queues {
		options.Queues = append(options.Queues, honker.WorkerQueue{Name: name})
	}
	ran, err := db.NewWorker(options).RunDue(context.Background(), handler)
	if err != nil {
		t.Fatal(err)
	}
	return ran
}

type output struct{ t testing.TB }

func (o output) Write(line []byte) (int, error) {
	o.t.Log(string(bytes.TrimSuffix(line, []byte("\n"))))
	return len(line), nil
}

// Enqueued are the jobs of a queue, pending or claimed, in the order in which they were enqueued.
func Enqueued(t testing.TB, db *honker.Database, queue string) []honker.JobRow {
	t.Helper()
	ids, err := db.Query("SELECT id FROM _honker_live WHERE queue = ?1 ORDER BY id", queue)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]honker.JobRow, 0, len(ids))
	for _, row := range ids {
		job, err := db.Queue(queue, honker.QueueOptions{}).GetJob(row.Values[0].(int64))
		if err != nil {
			t.Fatal(err)
		}
		if job != nil {
			jobs = append(jobs, *job)
		}
	}
	return jobs
}

// AssertEnqueued is the first job of the queue whose payload has what payload has: the same JSON, or if that is an object,
// at least its keys with values that have what its values have. The test ends if there is none.
func AssertEnqueued(t testing.TB, db *honker.Database, queue string, payload any) honker.JobRow {
	t.Helper()
	job, wanted, others := find(t, db, queue, payload)
	if job == nil {
		t.Fatalf("honkertest: there is no job in the queue %q with %s; there are %d: %s", queue, wanted, len(others), strings.Join(others, ", "))
	}
	return *job
}

// AssertNotEnqueued ends the test if there is a job that AssertEnqueued would find.
func AssertNotEnqueued(t testing.TB, db *honker.Database, queue string, payload any) {
	t.Helper()
	if job, wanted, _ := find(t, db, queue, payload); job != nil {
		t.Fatalf("honkertest: job %d in the queue %q has %s", job.ID, queue, wanted)
	}
}

// find is the job, the text of payload, and the payloads of the jobs that are others.
func find(t testing.TB, db *honker.Database, queue string, payload any) (*honker.JobRow, string, []string) {
	t.Helper()
	var want any
	encoded, err := json.Marshal(payload)
	if err == nil {
		err = json.Unmarshal(encoded, &want)
	}
	if err != nil {
		t.Fatalf("honkertest: the payload to look for cannot be encoded: %v", err)
	}
	var others []string
	for _, job := range Enqueued(t, db, queue) {
		var got any
		if json.Unmarshal([]byte(job.Payload), &got) == nil && has(got, want) {
			return &job, string(encoded), others
		}
		others = append(others, job.Payload)
	}
	return nil, string(encoded), others
}

// has is whether decoded JSON has at least what want has.
func has(got, want any) bool {
	wanted, is := want.(map[string]any)
	if !is {
		return reflect.DeepEqual(got, want)
	}
	object, is := got.(map[string]any)
	for key, value := range wanted {
		if _, there := object[key]; !there || !has(object[key], value) {
			return false
		}
	}
	return is
}

// Advance moves the clock: everything in the file becomes older by that, in whole seconds, as if time had passed. What was to
// be due by then is due, claims, locks, results and unique keys expire, schedules have fired too rarely, and windows of rate limits are
// over.
// Jobs enqueued afterwards have the real time.
func Advance(t testing.TB, db *honker.Database, by time.Duration) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	columns, err := tx.Query(`SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name GLOB '_honker_*' AND (c.name GLOB '*_at' OR c.name IN ('window_start', 'until'))`)
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string][]string{}
	for _, row := range columns {
		table, column := row.Values[0].(string), row.Values[1].(string)
		sets[table] = append(sets[table], column+" = "+column+" - ?1")
	}
	for table, set := range sets {
		if _, err := tx.Exec("UPDATE "+table+" SET "+strings.Join(set, ", "), int64(by/time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
