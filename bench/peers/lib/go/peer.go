// Package peer is what the peers in Go share: the lines they speak with the driver, and what their jobs do. See
// bench/peers/README.md for the lines.
package peer

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Day is how late a delayed job is.
const Day = 24 * time.Hour

// What the driver says.
var (
	URL         = os.Getenv("PEER_URL")
	Store       = os.Getenv("PEER_STORE")
	Synced      = os.Getenv("PEER_DURABILITY") == "synced"
	Shortest    = os.Getenv("PEER_RECOVERY") == "shortest"
	Concurrency = concurrency()
)

// ErrUnsupported is what a peer answers that has no way to do something.
var ErrUnsupported = errors.New("unsupported")

// Job is what is enqueued.
type Job struct {
	What string `json:"what"`
	N    int    `json:"n"`
}

// Producer is a peer that enqueues.
type Producer interface {
	Enqueue(job Job) error
	EnqueueMany(jobs []Job) error
	EnqueueLater(jobs []Job) error
	Transact(job Job, commit bool) error
}

func concurrency() int {
	n, err := strconv.Atoi(os.Getenv("PEER_CONCURRENCY"))
	if err != nil {
		return 1
	}
	return n
}

var events = sync.OnceValue(func() *os.File {
	file, err := os.OpenFile(os.Getenv("PEER_EVENTS"), os.O_WRONLY|os.O_APPEND, 0)
	Check(err)
	return file
})

// Handle is the job: it notes that it was run; "append" adds a row, in the middle of some work; "hold" does not end.
func Handle(job Job, add func(n int) error) error {
	if job.What == "append" {
		time.Sleep(2 * time.Millisecond)
		if err := add(job.N); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	if _, err := fmt.Fprintf(events(), "%s %d %d %d\n", job.What, job.N, time.Now().UnixNano(), os.Getpid()); err != nil {
		return err
	}
	if job.What == "hold" {
		time.Sleep(time.Hour)
	}
	return nil
}

// InTransaction does it in a transaction, which is committed unless it fails or is not to be.
func InTransaction(db *sql.DB, do func(tx *sql.Tx) error, commit bool) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil || !commit {
		return err
	}
	return tx.Commit()
}

// AppendTo adds a row to the application's table.
func AppendTo(db *sql.DB, placeholder string) func(n int) error {
	return func(n int) error {
		_, err := db.Exec("INSERT INTO appended (n) VALUES ("+placeholder+")", n)
		return err
	}
}

// Main is the program: work, or what the driver asks of a producer.
func Main(work func() error, open func() (Producer, error)) {
	if len(os.Args) == 2 && os.Args[1] == "work" {
		Check(work())
		return
	}
	producer, err := open()
	Check(err)
	answer(map[string]any{"ready": true})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer(do(producer, lines.Bytes()))
	}
}

func answer(value any) {
	Check(json.NewEncoder(os.Stdout).Encode(value))
}

func do(producer Producer, line []byte) any {
	request := struct {
		Kind   string
		First  int
		Count  int
		Batch  int
		CapS   float64 `json:"cap_s"`
		Way    string
		Commit bool
	}{Batch: 1, CapS: 3600, Way: "plain", Commit: true}
	if err := json.Unmarshal(line, &request); err != nil {
		return map[string]any{"error": err.Error()}
	}
	at, started, done := time.Now().UnixNano(), time.Now(), 0
	for done < request.Count && time.Since(started).Seconds() < request.CapS {
		size := min(request.Batch, request.Count-done)
		jobs := make([]Job, size)
		for i := range jobs {
			jobs[i] = Job{request.Kind, request.First + done + i}
		}
		var err error
		switch {
		case request.Way == "transact":
			err = producer.Transact(jobs[0], request.Commit)
		case request.Way == "later":
			err = producer.EnqueueLater(jobs)
		case request.Batch == 1:
			err = producer.Enqueue(jobs[0])
		default:
			err = producer.EnqueueMany(jobs)
		}
		if errors.Is(err, ErrUnsupported) {
			return map[string]any{"unsupported": request.Way}
		}
		if err != nil {
			return map[string]any{"error": err.Error()}
		}
		done += size
	}
	return map[string]any{"at": at, "count": done, "seconds": time.Since(started).Seconds()}
}

// Check ends the program for an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
