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
	"os/signal"
	"sync/atomic"
	"syscall"

	honker "github.com/russellromney/honker-go"
)

var sent atomic.Int32

func sendEmail(_ context.Context, to string) error {
	if to == "nobody" {
		return errors.New("no such address")
	}
	fmt.Println("to", to)
	if sent.Add(1) == 2 { // as Ctrl-C would
		process, _ := os.FindProcess(os.Getpid())
		process.Signal(os.Interrupt)
	}
	return nil
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // it would tell of the failure, with the time
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	emails := db.Queue("emails", honker.QueueOptions{MaxAttempts: 10})
	for _, to := range []any{"nobody", 7, "alice"} {
		if _, err := emails.Enqueue(to, honker.EnqueueOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	go emails.Enqueue("bob", honker.EnqueueOptions{Delay: honker.Int64(1)})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	worker := db.NewWorker(honker.WorkerOptions{
		Queues:      []honker.WorkerQueue{{Name: "emails", Weight: 3}, {Name: "reports"}},
		Concurrency: 8,
	})
	err = worker.Run(ctx, func(ctx context.Context, job *honker.Job) error {
		var to string
		if err := job.UnmarshalPayload(&to); err != nil {
			return honker.Discard(err) // it will never be an address
		}
		return sendEmail(ctx, to) // an error: again in 15 s, then in 30, 60, ... up to an hour
	})
	if err != nil {
		log.Fatal(err)
	}

	stats, err := emails.Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Delayed, "is tried again,", stats.Dead, "is dead")
}

// Output:
// to alice
// to bob
// 1 is tried again, 1 is dead
