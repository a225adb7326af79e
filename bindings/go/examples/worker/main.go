// A worker for production: jobs of two queues side by side, until a signal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	honker "github.com/russellromney/honker-go"
)

// Email is what a job of the queue "emails" says.
type Email struct {
	To string `json:"to"`
}

// Report is what a job of the queue "reports" says.
type Report struct {
	Month string `json:"month"`
}

var sent, reported atomic.Int32

func sendEmail(ctx context.Context, job *honker.Job, email Email) error {
	return send(ctx, email) // an error: again in 15 s, then in 30, 60, ... up to an hour
}

func send(_ context.Context, email Email) error {
	if email.To == "nobody" {
		return errors.New("no such address")
	}
	fmt.Println("to", email.To)
	if sent.Add(1) == 2 { // as Ctrl-C would
		process, _ := os.FindProcess(os.Getpid())
		process.Signal(os.Interrupt)
	}
	return nil
}

func makeReport(context.Context, *honker.Job, Report) error { return nil }

func reportError(_ context.Context, _ *honker.Job, err error) {
	if reported.Add(1) > 2 {
		log.Fatal(err)
	}
}

func enqueue(ctx context.Context, db *honker.Database) error {
	emails := honker.NewTypedQueue[Email](db, "emails", honker.QueueOptions{MaxAttempts: 10})
	_, err := emails.Enqueue(ctx, Email{To: "alice"}, honker.EnqueueOptions{})
	if err != nil {
		return err
	}
	for _, payload := range []any{7, Email{To: "nobody"}} {
		if _, err := emails.Queue.Enqueue(payload, honker.EnqueueOptions{}); err != nil {
			return err
		}
	}
	go emails.Enqueue(ctx, Email{To: "bob"}, honker.EnqueueOptions{Delay: honker.Int64(1)})
	return nil
}

func run(ctx context.Context, db *honker.Database) error {
	worker := db.NewWorker(honker.WorkerOptions{
		Queues: []honker.WorkerQueue{
			{Name: "emails", Handler: honker.Typed(sendEmail), Weight: 3},
			{Name: "reports", Handler: honker.Typed(makeReport)},
		},
		Concurrency: 8,
		MaxRun:      10 * time.Minute,
		OnError:     reportError, // to Sentry and the like
	})
	return worker.Run(ctx)
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // it would tell of the failures, with the time
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if err := enqueue(ctx, db); err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, db); err != nil {
		log.Fatal(err)
	}
	stats, err := db.Queue("emails", honker.QueueOptions{}).Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Delayed, "is tried again,", stats.Dead, "is dead")
}

// Output:
// to alice
// to bob
// 1 is tried again, 1 is dead
